"""The cheapest counts that suffice, from those that sufficed a moment ago, in few looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Bounds", "cheapest", "dearest_first"]

_PART = 8
"""A step is an eighth of the replicas, or one."""

Counts = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What may be chosen for a stage: least and most replicas, and the price of one."""

    least: int
    most: int
    price: int


def cheapest(
    start: Counts,
    bounds: Mapping[str, Bounds],
    late: Callable[[Counts], float],
    *,
    enough: float,
    spare: float,
    looks: int,
    fewer_of: Sequence[str] | None = None,
) -> tuple[dict[str, int], float]:
    """Return counts that suffice, and what is late with them.

    While too much is late, replicas are added where they save most per price. Then they are taken away, stage by
    stage, as long as no more than ``spare`` is late. When more replicas do not help, what is reached stays. No single
    step leads to cheaper counts that suffice, where all stages are tried; several together may.

    Parameters
    ----------
    start
        By stage; those that sufficed before are a good start.
    bounds
        By stage.
    late
        What is late with such counts; 0 is best.
    enough, spare
        What may be late; what may be late where replicas have just been taken away.
    looks
        Calls of ``late``, about, that are made at most; then what is known to be best is returned.
    fewer_of
        Stages of which replicas are taken away, in this order; all, the dearest first, unless told otherwise.

    Examples
    --------
    Ten replicas of two stages are wanted; those of the second cost less:

    >>> bounds = {"detect": Bounds(least=1, most=9, price=3), "read": Bounds(least=1, most=9, price=1)}
    >>> cheapest(
    ...     {"detect": 1, "read": 1}, bounds, lambda counts: max(0, 10 - sum(counts.values())),
    ...     enough=0, spare=0, looks=60,
    ... )
    ({'detect': 1, 'read': 9}, 0)
    """
    known: dict[tuple[int, ...], float] = {}

    def look(counts: Counts) -> float:
        key = tuple(counts.values())
        if key not in known:
            known[key] = late(counts)
        return known[key]

    counts = {name: min(max(start[name], each.least), each.most) for name, each in bounds.items()}
    while look(counts) > enough and len(known) < looks:
        step = _best_step(counts, bounds, look)
        if step is None:
            break
        counts.update(step)
    for name in dearest_first(bounds) if fewer_of is None else fewer_of:
        for step_size in sorted({max(1, counts[name] // _PART), 1}, reverse=True):
            while counts[name] - step_size >= bounds[name].least and len(known) < looks:
                fewer = {**counts, name: counts[name] - step_size}
                if look(fewer) > spare:
                    break
                counts = fewer
    return counts, look(counts)


def dearest_first(bounds: Mapping[str, Bounds]) -> list[str]:
    """Return the stages by the price of a replica."""
    return sorted(bounds, key=lambda name: -bounds[name].price)


def _best_step(
    counts: Counts, bounds: Mapping[str, Bounds], look: Callable[[Counts], float]
) -> dict[str, int] | None:
    """Return the one stage's new count that saves most per price; None when none saves anything."""
    before = look(counts)
    best, most = None, 0.0
    for name, each in bounds.items():
        more = min(counts[name] + max(1, counts[name] // _PART), each.most)
        if more == counts[name]:
            continue
        saved = (before - look({**counts, name: more})) / ((more - counts[name]) * max(each.price, 1))
        if saved > most:
            best, most = {name: more}, saved
    return best
