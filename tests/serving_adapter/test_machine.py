"""What a machine can stand for, and where replicas go on it."""

from __future__ import annotations

import os

import pytest

from inferline.domain import Hardware
from serving_adapter.machine import (
    Accelerator,
    Machine,
    Placement,
    apart,
    away_from,
    parse_accelerators,
    placements,
    reason_not_here,
    same_accelerator,
    this_machine,
    variables,
)

K80S = tuple(Accelerator(index=i, name="Tesla K80") for i in range(2))


def unit(cpus: float = 1.0, accelerator: str | None = None, accelerators: int = 0) -> Hardware:
    return Hardware(
        name="u", price_nano_usd_per_hour=1, cpus=cpus, accelerator=accelerator, accelerators=accelerators
    )


@pytest.mark.parametrize(
    ("machine", "hardware", "reason"),
    [
        (Machine(cores=(0, 1)), unit(2), None),
        (Machine(cores=(0, 1)), unit(0.5), None),
        (Machine(cores=(0, 1)), unit(8), "needs 8 CPUs; this machine offers 2"),
        (Machine(cores=(0, 1)), unit(2.5), "needs 2.5 CPUs; this machine offers 2"),
        (Machine(cores=(0,)), unit(1, "nvidia-k80", 1), "needs 1 nvidia-k80; this machine has none"),
        (Machine(cores=(0,), accelerators=K80S), unit(1, "nvidia-k80", 2), None),
        (Machine(cores=(0,), accelerators=K80S), unit(1, "nvidia-k80", 3), "needs 3 nvidia-k80; this machine has 2"),
        (Machine(cores=(0,), accelerators=K80S), unit(1, "v100", 1), "needs 1 v100; this machine has Tesla K80"),
        (Machine(cores=(0,), accelerators=K80S), unit(1, "v100"), "needs 1 v100; this machine has Tesla K80"),
        (Machine(cores=(0,), accelerators=K80S), unit(1, None, 2), None),
    ],
)
def test_the_reason_says_what_is_needed_and_what_is_there(machine, hardware, reason):
    assert reason_not_here(machine, hardware) == reason


@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        ("nvidia-tesla-t4", "Tesla T4", True),
        ("H200", "NVIDIA H200", True),
        ("nvidia-a100", "NVIDIA A100-SXM4-40GB", True),
        ("nvidia-a100-80gb", "NVIDIA A100-SXM4-40GB", False),
        ("nvidia-l4", "NVIDIA L40S", False),
        ("nvidia.com/gpu", "NVIDIA L40S", True),
        ("k80", "Tesla K8", False),
    ],
)
def test_accelerators_are_the_same_when_every_telling_word_is_there(wanted, found, same):
    assert same_accelerator(wanted, found) is same


def test_nvidia_smi_is_read_and_hidden_devices_are_not_there():
    text = "1, Tesla V100, 16160 MiB, 535.1, GPU-bb\n0, Tesla K80, [N/A], 535.1, GPU-aa\nno devices were found\n"
    k80 = Accelerator(index=0, name="Tesla K80", memory_bytes=None, driver="535.1")
    v100 = Accelerator(index=1, name="Tesla V100", memory_bytes=16160 * 2**20, driver="535.1")
    assert parse_accelerators(text) == (k80, v100)
    assert parse_accelerators(text, "1") == (v100,)
    assert parse_accelerators(text, "GPU-a") == (k80,)
    assert parse_accelerators(text, "") == ()


@pytest.mark.parametrize(
    ("cores", "cpus", "count", "placed"),
    [
        ((3,), 1, 1, [(3,)]),
        ((3, 5), 1, 1, [(5,)]),  # the first core is the profiler's
        ((3, 5), 2, 1, [(3, 5)]),  # as long as it is not needed
        ((3, 5), 1, 2, [(3,), (5,)]),
        ((0, 1, 2, 3, 4), 2, 2, [(1, 2), (3, 4)]),
        ((0, 1, 2), 2, 2, [(0, 1), (0, 2)]),  # wrapped round
        ((0, 1), 1.5, 1, [(0, 1)]),
        ((0,), 1, 3, [(0,), (0,), (0,)]),
    ],
)
def test_replicas_get_different_cores_as_long_as_there_are_enough(cores, cpus, count, placed):
    assert [each.cores for each in placements(Machine(cores=cores), unit(cpus), count)] == placed


def test_replicas_get_different_accelerators_as_long_as_there_are_enough():
    machine = Machine(cores=(0, 1, 2, 3), accelerators=(*K80S, Accelerator(index=2, name="V100")))
    placed = placements(machine, unit(1, "k80", 1), 3)
    assert [[each.index for each in of.accelerators] for of in placed] == [[0], [1], [0]]
    assert variables(placed[1])["CUDA_VISIBLE_DEVICES"] == "1"


def test_a_replica_without_accelerators_sees_none_and_computes_with_its_whole_cpus():
    names = variables(Placement(hardware=unit(2.5), cores=(0, 1, 2)))
    assert names["CUDA_VISIBLE_DEVICES"] == ""
    assert {names[name] for name in names if name.endswith("_THREADS")} == {"2"}
    assert Placement(hardware=unit(0.2), cores=(0,)).threads == 1


def test_the_profiler_keeps_away_meanwhile_when_a_core_is_left():
    machine = this_machine()
    assert set(machine.cores) <= os.sched_getaffinity(0)
    before = os.sched_getaffinity(0)
    placed = placements(machine, unit())
    with away_from(machine, placed):
        assert os.sched_getaffinity(0) == (apart(machine, placed) or before)
    with pytest.raises(KeyError), away_from(machine, placed):
        raise KeyError
    assert os.sched_getaffinity(0) == before
