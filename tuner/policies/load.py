"""The rate that a stage has to be ready for: what arrives now, and how much more came of that in the past.

A replica that is asked for now serves after its activation delay. How far the rate may have risen by then is learned
from the stage's own past: at every tick the rate is compared with what was expected one delay before, and of what
came of rates like the present one, the growth that covers the wanted share is the headroom (a quantile of past
forecast errors, as in conformal prediction: Vovk et al., "Algorithmic Learning in a Random World", 2005). Steady
traffic needs next to no headroom, ramps as much as they are steep, and a stage that doubles every minute is kept
ready for it while it is low, not while it is high.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inferline.units import NANO
from tuner.policies.bounds import arrived

__all__ = ["LoadNote", "expected_qps", "first_load_note", "replay_ns", "surge_qps", "window_qps"]

SHORT_NS = 5 * NANO
"""The rate now is that of the last 5 s: long enough to tell it from noise, as long as a replica takes to start."""

_WINDOWS_NS = (SHORT_NS, 15 * NANO, 60 * NANO)
_SURGE_DEVIATIONS = 3.0
_ALIKE = 1.4
"""Rates are alike within this factor."""

_PARTS = 5
"""A stretch of 5 s is looked at second by second."""

Instants = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadNote:
    """What is remembered of a stage's load; one entry per tick, the oldest first.

    Parameters
    ----------
    first_ns
        The first tick of all; None before it.
    tick_ns
        int64 (n,): the ticks.
    expected_qps
        float64 (n,): the rate that was expected at each tick, without headroom.
    before_qps, after_qps
        float64 (n,): the rate that was expected a delay before each tick, 0 for unknown, and the rate at the tick.
    """

    first_ns: int | None
    tick_ns: Instants
    expected_qps: Floats
    before_qps: Floats
    after_qps: Floats


def first_load_note() -> LoadNote:
    """Return the memory of a stage that has not been seen yet."""
    return LoadNote(
        first_ns=None, tick_ns=np.empty(0, dtype=np.int64), expected_qps=_NONE, before_qps=_NONE, after_qps=_NONE
    )


def window_qps(arrival_ns: Instants, now_ns: int) -> float:
    """Return the largest of the rates in the last 5, 15 and 60 s; int64 (n,), non-decreasing.

    So a rise counts within 5 s, and a fall only when it has lasted.
    """
    return max(arrived(arrival_ns, now_ns, window_ns) * NANO / window_ns for window_ns in _WINDOWS_NS)


def expected_qps(
    arrival_ns: Instants,
    now_ns: int,
    base_qps: float,
    note: LoadNote,
    *,
    delay_ns: int,
    quantile: float,
    memory_ns: int,
    least_headroom: float,
    most_headroom: float,
) -> tuple[float, LoadNote]:
    """Return the rate to be ready for, in queries per second, and what to remember.

    Parameters
    ----------
    arrival_ns
        int64 (n,), non-decreasing: arrivals at the stage.
    now_ns
        The tick.
    base_qps
        The rate that is expected without headroom: `window_qps`, or more if more is known to come.
    note
        Of the tick before.
    delay_ns
        From this tick until what is asked for serves.
    quantile
        Share of the past growths that the headroom covers, in [0, 1].
    memory_ns
        How far back growth counts.
    least_headroom, most_headroom
        Bounds of the headroom, at least 1.
    """
    short_qps = arrived(arrival_ns, now_ns, SHORT_NS) * NANO / SHORT_NS
    place = int(np.searchsorted(note.tick_ns, now_ns - delay_ns, side="right")) - 1
    # What was expected before a whole short window had been seen says nothing.
    first_ns = now_ns if note.first_ns is None else note.first_ns
    told = place >= 0 and int(note.tick_ns[place]) >= first_ns + SHORT_NS
    before_qps = float(note.expected_qps[place]) if told else 0.0
    kept = note.tick_ns > now_ns - memory_ns
    after = LoadNote(
        first_ns=first_ns,
        tick_ns=np.append(note.tick_ns[kept], now_ns),
        expected_qps=np.append(note.expected_qps[kept], base_qps),
        before_qps=np.append(note.before_qps[kept], before_qps),
        after_qps=np.append(note.after_qps[kept], short_qps),
    )
    grown = _growth(after, base_qps, quantile, memory_ns)
    return base_qps * min(max(grown, least_headroom), most_headroom), after


def _growth(note: LoadNote, base_qps: float, quantile: float, memory_ns: int) -> float:
    """Return how many times a rate like this one had become within a delay, but for the largest such growths.

    Times at which nothing is known of such a rate, up to half of the memory, count as times at which it did not grow.
    """
    alike = (note.before_qps > base_qps / _ALIKE) & (note.before_qps < base_qps * _ALIKE)
    growth = np.sort(note.after_qps[alike] / note.before_qps[alike])
    spans_ns = np.diff(note.tick_ns)
    tick_ns = float(np.median(spans_ns)) if spans_ns.size else float(NANO)
    ticks = max(growth.size, memory_ns / 2 / tick_ns)
    beyond = max(0, math.floor((1.0 - quantile) * ticks))
    return float(growth[-1 - beyond]) if beyond < growth.size else 1.0


def replay_ns(arrival_ns: Instants, now_ns: int, span_ns: int, most: int, rate_qps: float) -> Floats:
    """Return the last arrivals as they would have come at another rate, each stretch of 5 s at exactly that rate.

    How arrivals bunch within seconds is kept; how the rate has moved over longer times is not, because that is what
    the rate says. Stretches in which it jumps are left out.

    Parameters
    ----------
    arrival_ns
        int64 (n,), non-decreasing.
    now_ns, span_ns, most
        The arrivals in (now - span, now] are taken, but at most so many, the latest.
    rate_qps
        Above 0.

    Returns
    -------
    NDArray
        float64 (m,), non-decreasing, from 0 on.
    """
    first, end = np.searchsorted(arrival_ns, [now_ns - span_ns, now_ns], side="right")
    ago_ns = now_ns - arrival_ns[max(int(first), int(end) - most) : int(end)]
    if ago_ns.size == 0:
        return _NONE
    stretch = ago_ns // SHORT_NS
    parts = np.bincount(ago_ns // (SHORT_NS // _PARTS), minlength=(int(stretch[0]) + 1) * _PARTS).reshape(-1, _PARTS)
    counts = np.where(_steady(parts), parts.sum(axis=1), 0)[::-1]
    stretch = int(stretch[0]) - stretch
    kept = counts[stretch] > 0
    stretch = stretch[kept]
    lengths_ns = counts * (NANO / rate_qps)
    begins_ns = np.cumsum(lengths_ns) - lengths_ns
    within = 1.0 - (ago_ns[kept] % SHORT_NS + 1) / SHORT_NS
    replayed: Floats = begins_ns[stretch] + within * lengths_ns[stretch]
    return replayed


def _steady(parts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return the stretches in which the rate does not change: no part is far from the mean of its stretch.

    How far chance goes is told by the median stretch. At least the steadiest stretch is kept.

    Parameters
    ----------
    parts
        int64 (stretches, parts): arrivals in each part of each stretch.
    """
    means = parts.mean(axis=1)
    some: NDArray[np.bool_] = means > 0.0
    if not some.any():
        return some
    spread = max(1.0, float(np.median(parts[some].var(axis=1, ddof=1) / means[some])))
    far = np.abs(parts - means[:, None]).max(axis=1) / np.sqrt(np.maximum(means, 1.0) * spread)
    kept: NDArray[np.bool_] = some & (far <= max(_SURGE_DEVIATIONS, float(far[some].min())))
    return kept


_NONE: Floats = np.empty(0)


def surge_qps(arrival_ns: Instants, now_ns: int) -> float:
    """Return the rate of the last moments, less what chance may have added to it: it counts before 5 s are over.

    Chance is as wide as it was in the last minute, in counts of half a second.
    """
    ends_ns = now_ns - np.arange(120, 3, -1) * (NANO // 2)
    counts = np.diff(arrival_ns.searchsorted(ends_ns, side="right"))
    seen = counts[int(np.argmax(counts > 0)) :]
    spread = max(1.0, float(seen.var() / seen.mean())) if seen.size >= 20 and seen.any() else 1.0
    rates = []
    for window_ns in (NANO // 2, NANO, 2 * NANO):
        count = arrived(arrival_ns, now_ns, window_ns)
        rates.append(max(0.0, count - _SURGE_DEVIATIONS * math.sqrt(count * spread)) * NANO / window_ns)
    return max(rates)
