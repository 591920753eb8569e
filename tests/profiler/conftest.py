"""Tiny models for real replicas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from inferline.domain import Hardware
from profiler.results import Target
from serving_adapter.models import ModelEntry

MODELS = """
import os
import signal
import sys
import time

if os.environ.get("TINY_MODELS_BREAK"):
    import no_such_module

def echo(inputs):
    return inputs

def affine(inputs):
    time.sleep(0.002 + 0.0002 * len(inputs))
    return inputs

def flat(inputs):
    time.sleep(0.001 * len(inputs))
    return inputs

def fails_at_8(inputs):
    if len(inputs) == 8:
        raise LookupError("no class 8")
    return inputs

def one_too_few(inputs):
    return inputs[1:]

def no_memory_at_4(inputs):
    if len(inputs) >= 4:
        raise MemoryError("16 GiB wanted")
    return inputs

def no_memory(inputs):
    raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")

def dies_at_2(inputs):
    if len(inputs) == 2:
        print("goodbye", file=sys.stderr, flush=True)
        os._exit(3)
    return inputs

def killed_at_2(inputs):
    if len(inputs) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return inputs

def hangs_at_2(inputs):
    if len(inputs) == 2:
        time.sleep(3600)
    return inputs

def slow_first(inputs):
    slow_first.count = getattr(slow_first, "count", 0) + 1
    time.sleep(0.02 if slow_first.count <= 12 else 0.002)
    return inputs

def about_itself(inputs):
    names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
    return [{"pid": os.getpid(), "cores": sorted(os.sched_getaffinity(0)), "session": os.getsid(0),
             **{name: os.environ[name] for name in names}} for _ in inputs]
"""


@pytest.fixture
def entry_of(tmp_path: Path) -> Callable[..., ModelEntry]:
    """Make the entry of one of these models, or of another kind or target."""
    (tmp_path / "tiny_models.py").write_text(MODELS)

    def make(name: str, **fields: object) -> ModelEntry:
        given = {"kind": "callable", "target": f"tiny_models:{name}", "file": "p.yaml", **fields}
        return ModelEntry(name=name, folder=tmp_path, **given)  # type: ignore[arg-type]

    return make


@pytest.fixture
def small() -> Hardware:
    return Hardware(name="cpu-1", price_nano_usd_per_hour=1)


@pytest.fixture
def target_of(entry_of: Callable[..., ModelEntry], small: Hardware) -> Callable[..., Target]:
    """Make a target of one of these models on one core."""

    def make(name: str, max_batch: int | None = None) -> Target:
        return Target(entry=entry_of(name), hardware=small, max_batch=max_batch)

    return make
