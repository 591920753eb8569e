"""Devices by name."""

from __future__ import annotations

import pytest

from inferline.errors import InputError
from serving_adapter.models.devices import is_memory_error, pick_device


@pytest.mark.parametrize(
    ("device", "count", "picked"),
    [("auto", 0, None), ("auto", 2, 0), ("cpu", 2, None), ("cuda", 1, 0), ("cuda:1", 2, 1)],
)
def test_picked(entry, device, count, picked):
    assert pick_device(entry("pytorch", "m:f", device=device), count, "none found") == picked


@pytest.mark.parametrize(
    ("device", "count", "message"),
    [
        ("cuda", 0, "no cuda here: none found; auto takes the CPU then"),
        ("cuda:0", 0, "no cuda:0 here: none found; auto takes the CPU then"),
        ("cuda:2", 2, "no cuda:2 here: there are 2 CUDA devices, from cuda:0"),
        ("gpu", 0, "'gpu' is no device; write auto, cpu, cuda or cuda:1"),
        ("cuda:x", 1, "'cuda:x' is no device; write auto, cpu, cuda or cuda:1"),
        ("auto:1", 1, "'auto:1' is no device; write auto, cpu, cuda or cuda:1"),
    ],
)
def test_faults(entry, device, count, message):
    with pytest.raises(InputError) as caught:
        pick_device(entry("pytorch", "m:f", device=device), count, "none found")
    assert str(caught.value) == f"pipeline.yaml: models.m.device: {message}"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("BFCArena: Failed to allocate memory for requested buffer of size 8"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_memory_errors(error, expected):
    assert is_memory_error(error) is expected
