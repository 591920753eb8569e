"""Which cores and accelerators of the engine's machine a replica gets."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from inferline.errors import InputError
from serving_adapter.replicas.docker.labels import ACCELERATORS, CORES
from serving_adapter.replicas.docker.options import DockerOptions
from serving_adapter.replicas.protocol import ReplicaSet

__all__ = ["Place", "accelerators_of", "place", "place_labels", "read_place"]

_Unit = TypeVar("_Unit", int, str)


class Place(NamedTuple):
    """Numbers of cores, and numbers or UUIDs of accelerators; none where the engine chooses."""

    cores: tuple[int, ...] = ()
    accelerators: tuple[str, ...] = ()


def accelerators_of(wanted: ReplicaSet) -> int:
    """Return how many accelerators a replica of the set gets."""
    least = 0 if wanted.hardware.accelerator is None else 1
    return max(least, wanted.hardware.accelerators)


def place(wanted: ReplicaSet, options: DockerOptions, beside: Sequence[Place]) -> Place:
    """Place one more replica on what the fewest others have, of the cores and accelerators that the options name.

    Parameters
    ----------
    wanted, options
        The set that it belongs to, and the target's options.
    beside
        Where the others on that engine are.

    Raises
    ------
    InputError
        When the options name some, but fewer than it needs.
    """
    return Place(
        cores=_least_taken(
            f"cores for hardware {wanted.hardware.name!r}",
            options.cores,
            (core for each in beside for core in each.cores),
            max(1, math.ceil(wanted.hardware.cpus)),
        ),
        accelerators=_least_taken(
            f"accelerators for hardware {wanted.hardware.name!r}",
            options.accelerators,
            (accelerator for each in beside for accelerator in each.accelerators),
            accelerators_of(wanted),
        ),
    )


def _least_taken(what: str, units: Sequence[_Unit], taken: Iterable[_Unit], needed: int) -> tuple[_Unit, ...]:
    if not units:
        return ()
    if needed > len(units):
        raise InputError(
            f"{needed} {what} are needed, and only {len(units)} may be used: {', '.join(map(str, units))}"
        )
    times = Counter(taken)
    return tuple(sorted(units, key=lambda unit: times[unit])[:needed])


def place_labels(chosen: Place) -> dict[str, str]:
    """Return the labels that say where a replica is."""
    parts = {CORES: ",".join(map(str, chosen.cores)), ACCELERATORS: ",".join(chosen.accelerators)}
    return {name: text for name, text in parts.items() if text}


def read_place(labels: Mapping[str, str]) -> Place:
    """Return where a replica is.

    Examples
    --------
    >>> read_place({"inferline.cores": "2,3"})
    Place(cores=(2, 3), accelerators=())
    """
    cores, accelerators = (tuple(filter(None, labels.get(name, "").split(","))) for name in (CORES, ACCELERATORS))
    return Place(cores=tuple(int(core) for core in cores), accelerators=accelerators)
