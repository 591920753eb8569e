"""What every policy shares at its edges: constants by name, counts within bounds, arrivals in a window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from inferline.errors import Fault, InputError
from tuner.situation import Decision, Observation, Reason, Situation

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["arrived", "constants", "decide", "requested", "within_bounds"]

C = TypeVar("C", bound="DataclassInstance")


def constants(kind: type[C], options: Mapping[str, Any]) -> C:
    """Return the constants of a policy: its defaults, and the options that differ.

    Parameters
    ----------
    kind
        Dataclass of numbers, each with a default.
    options
        By name.

    Raises
    ------
    InputError
        When an option is unknown or is no number of 0 or more; every fault is named.
    """
    known = [field.name for field in fields(kind)]
    faults = []
    for name, value in options.items():
        if name not in known:
            faults.append(Fault("", f"options.{name}", f"no such option; {', '.join(known) or 'none'} is accepted"))
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            faults.append(Fault("", f"options.{name}", f"{value!r} is not a number of 0 or more"))
    if faults:
        raise InputError(*faults)
    return kind(**options)


def requested(observation: Observation) -> dict[str, int]:
    """Return the replicas that are asked for now, by stage."""
    return {name: stage.requested for name, stage in observation.stages.items()}


def decide(
    situation: Situation, observation: Observation, wanted: Mapping[str, int], reasons: Mapping[str, Reason]
) -> Decision:
    """Return the decision for the counts that a policy wants, within bounds; only changes keep their reasons."""
    replicas = within_bounds(situation, wanted)
    changed = [name for name, count in replicas.items() if count != observation.stages[name].requested]
    return Decision(replicas=replicas, reasons={name: reasons[name] for name in changed if name in reasons})


def within_bounds(situation: Situation, wanted: Mapping[str, int]) -> dict[str, int]:
    """Return the counts nearest to the wanted ones that stage bounds and hardware limits allow.

    Where stages want more units of a hardware than there are, each gets its minimum, and the units that are left go
    one by one to the stage that has the smallest share of what it wants, the first one among equals. Minima that
    exceed a limit together are granted all the same: no plan for such a pipeline exists.

    Parameters
    ----------
    wanted
        By stage, every one of the pipeline.
    """
    pipeline = situation.pipeline
    counts = {
        stage.name: min(max(wanted[stage.name], stage.min_replicas), stage.max_replicas) for stage in pipeline.stages
    }
    users: dict[str, list[str]] = {}
    for name in counts:
        users.setdefault(situation.plan.configuration[name].hardware, []).append(name)
    for hardware, names in users.items():
        limit = pipeline.unit(hardware).limit
        if limit is not None and sum(counts[name] for name in names) > limit:
            counts.update(_shared(limit, {n: (pipeline.stage(n).min_replicas, counts[n]) for n in names}))
    return counts


def _shared(limit: int, bounds: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    """Share the units of one hardware; ``bounds`` has the least and the wanted count of each stage."""
    granted = {name: least for name, (least, _) in bounds.items()}
    for _ in range(limit - sum(granted.values())):
        short = [name for name in bounds if granted[name] < bounds[name][1]]
        granted[min(short, key=lambda name: granted[name] / bounds[name][1])] += 1
    return granted


def arrived(arrival_ns: NDArray[np.int64], now_ns: int, window_ns: int) -> int:
    """Return how many arrivals lie in (now - window, now]; int64 (n,), non-decreasing."""
    first, end = np.searchsorted(arrival_ns, [now_ns - window_ns, now_ns], side="right")
    return int(end - first)
