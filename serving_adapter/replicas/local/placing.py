"""Which cores and accelerators a replica gets beside those that are there: pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from inferline.domain import Hardware
from serving_adapter.machine import Machine, Placement, placements, reason_not_here, same_accelerator

__all__ = ["place", "reason_refused", "remark"]


def reason_refused(machine: Machine, hardware: Hardware) -> str | None:
    """Return why no replica on that hardware can run here; None when one can.

    Cores can be shared, with a remark. An accelerator that is not there cannot, and isolation is not what a plain
    process has.

    Examples
    --------
    >>> reason_refused(Machine(cores=(0,)), Hardware(name="big", price_nano_usd_per_hour=0, cpus=8))
    >>> gpu = Hardware(name="gpu", price_nano_usd_per_hour=0, accelerator="k80", accelerators=1)
    >>> reason_refused(Machine(cores=(0,)), gpu)
    'needs 1 k80; this machine has none'
    """
    if hardware.isolation is not None:
        return f"asks for isolation by {hardware.isolation}, which processes of this machine do not have"
    return reason_not_here(machine, replace(hardware, cpus=min(hardware.cpus, len(machine.cores))))


def place(machine: Machine, hardware: Hardware, beside: Sequence[Placement]) -> Placement:
    """Place one more replica.

    It gets as many cores as its hardware has CPUs, rounded up, and no more than there are: those that have been given
    away least, the machine's first core last among equals, as `placements` does. What others have stays theirs.

    Parameters
    ----------
    machine, hardware
        The machine, and what of it the replica gets; `reason_refused` has no objection.
    beside
        Where the others are.

    Examples
    --------
    >>> small, machine = Hardware(name="small", price_nano_usd_per_hour=0), Machine(cores=(0, 1, 2))
    >>> placed = []
    >>> for _ in range(4):
    ...     placed.append(place(machine, small, placed))
    >>> [each.cores for each in placed]
    [(1,), (2,), (0,), (1,)]
    """
    loads, uses = _loads(beside), _uses(beside)
    count = min(len(machine.cores), max(1, math.ceil(hardware.cpus)))
    first = machine.cores[0]
    cores = sorted(machine.cores, key=lambda core: (round(loads.get(core, 0.0), 9), core == first, core))
    needed = len(placements(machine, hardware)[0].accelerators)
    matching = [each for each in machine.accelerators if same_accelerator(hardware.accelerator or "", each.name)]
    accelerators = sorted(matching, key=lambda each: (uses[each.index], each.index))
    return Placement(
        hardware=hardware,
        cores=tuple(sorted(cores[:count])),
        accelerators=tuple(sorted(accelerators[:needed], key=lambda each: each.index)),
    )


def remark(machine: Machine, placement: Placement, placed: Sequence[Placement]) -> str:
    """Return what a replica has to share; nothing when it has all that its hardware says.

    Parameters
    ----------
    machine, placement
        The machine, and where the replica is.
    placed
        Where all replicas are, this one included.

    Examples
    --------
    >>> machine, small = Machine(cores=(0, 1)), Hardware(name="small", price_nano_usd_per_hour=0)
    >>> one, two = (Placement(hardware=small, cores=(1,)) for _ in range(2))
    >>> remark(machine, one, [one]), remark(machine, one, [one, two])
    ('', 'over-subscribed: 2 CPUs are promised of core 1')
    """
    said = []
    offered = len(machine.cores)
    if placement.hardware.cpus > offered:
        wanted = f"{placement.hardware.name} has {placement.hardware.cpus:g} CPUs"
        said.append(f"over-subscribed: {wanted}, this machine {offered}")
    else:
        loads = _loads(placed)
        busiest = max(placement.cores, key=lambda core: loads.get(core, 0.0))
        if round(loads.get(busiest, 0.0), 9) > 1:
            said.append(f"over-subscribed: {loads[busiest]:.3g} CPUs are promised of core {busiest}")
    uses = _uses(placed)
    said += [f"accelerator {each.index} is shared" for each in placement.accelerators if uses[each.index] > 1]
    return "; ".join(said)


def _loads(placed: Sequence[Placement]) -> Mapping[int, float]:
    """Return the CPUs that are promised of each core."""
    loads: dict[int, float] = {}
    for placement in placed:
        for core in placement.cores:
            loads[core] = loads.get(core, 0.0) + placement.hardware.cpus / len(placement.cores)
    return loads


def _uses(placed: Sequence[Placement]) -> Counter[int]:
    return Counter(each.index for placement in placed for each in placement.accelerators)
