"""Which cores and accelerators replicas get."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.domain import Hardware
from serving_adapter.machine import Accelerator, Machine
from serving_adapter.replicas.local.placing import place, reason_refused, remark

K80S = tuple(Accelerator(index=i, name="Tesla K80") for i in range(2))


def hardware(cpus=1.0, **more):
    return Hardware(name=f"cpu-{cpus:g}", price_nano_usd_per_hour=0, cpus=cpus, **more)


def placed(machine, *wanted):
    there = []
    for each in wanted:
        there.append(place(machine, each, there))
    return there


def cores(there):
    return [each.cores for each in there]


def test_replicas_spread_and_the_first_core_comes_last():
    machine = Machine(cores=(2, 3, 5, 7))
    assert cores(placed(machine, *[hardware()] * 5)) == [(3,), (5,), (7,), (2,), (3,)]
    assert cores(placed(machine, hardware(2), hardware(2), hardware(1))) == [(3, 5), (2, 7), (3,)]
    assert cores(placed(machine, hardware(2.5), hardware())) == [(3, 5, 7), (2,)]


def test_what_is_left_goes_to_the_next_and_others_stay():
    machine = Machine(cores=(0, 1, 2, 3))
    there = placed(machine, *[hardware()] * 4)
    gone = there.pop(1)
    assert place(machine, hardware(), there).cores == gone.cores


def test_halves_share_a_core_before_it_is_over_subscribed():
    machine = Machine(cores=(0, 1))
    there = placed(machine, *[hardware(0.5)] * 4)
    assert cores(there) == [(1,), (0,), (1,), (0,)]
    assert [remark(machine, each, there) for each in there] == [""] * 4
    there.append(place(machine, hardware(0.5), there))
    assert remark(machine, there[0], there) == "over-subscribed: 1.5 CPUs are promised of core 1"
    assert remark(machine, there[1], there) == ""


def test_more_cpus_than_there_are():
    machine = Machine(cores=(0, 1))
    there = placed(machine, hardware(8))
    assert there[0].cores == (0, 1)
    assert remark(machine, there[0], there) == "over-subscribed: cpu-8 has 8 CPUs, this machine 2"


def test_accelerators_spread_and_are_shared_with_a_remark():
    machine = Machine(cores=(0, 1, 2, 3), accelerators=(Accelerator(index=0, name="NVIDIA L4"), *K80S[1:]))
    gpu = hardware(accelerator="nvidia-k80", accelerators=1)
    one = placed(machine, gpu)
    assert ([each.name for each in one[0].accelerators], remark(machine, one[0], one)) == (["Tesla K80"], "")
    machine = Machine(cores=(0, 1, 2, 3), accelerators=K80S)
    three = placed(machine, gpu, gpu, gpu)
    assert [[each.index for each in replica.accelerators] for replica in three] == [[0], [1], [0]]
    shared = "accelerator 0 is shared"
    assert [remark(machine, each, three) for each in three] == [shared, "", shared]


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (hardware(64), None),
        (hardware(64, accelerator="k80"), None),
        (hardware(accelerator="k80", accelerators=3), "needs 3 k80; this machine has 2"),
        (hardware(accelerator="a100"), "needs 1 a100; this machine has Tesla K80"),
        (hardware(isolation="kata"), "asks for isolation by kata, which processes of this machine do not have"),
    ],
)
def test_what_is_refused(wanted, reason):
    assert reason_refused(Machine(cores=(0, 1), accelerators=K80S), wanted) == reason


@given(st.integers(1, 8), st.lists(st.one_of(st.none(), st.integers(0, 20)), max_size=30))
@settings(deadline=None)
def test_equal_replicas_take_the_least_used_core_whatever_comes_and_goes(count, course):
    machine = Machine(cores=tuple(range(count)))
    there = []
    for leaves in course:
        if leaves is not None and there:
            there.pop(leaves % len(there))
            continue
        uses = Counter(core for each in there for core in each.cores)
        (core,) = place(machine, hardware(), there).cores
        assert uses[core] == min(uses[each] for each in machine.cores)
        there.append(place(machine, hardware(), there))


@given(st.integers(1, 8), st.floats(0, 20), st.lists(st.floats(0.01, 20), max_size=10))
@settings(deadline=None)
def test_as_many_cores_as_cpus_rounded_up(count, cpus, others):
    machine = Machine(cores=tuple(range(count)))
    new = place(machine, hardware(cpus), placed(machine, *map(hardware, others)))
    assert len(set(new.cores)) == len(new.cores) == min(count, max(1, math.ceil(cpus)))
