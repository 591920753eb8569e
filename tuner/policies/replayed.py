"""The last arrivals once more, as they would have come at another rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inferline.units import NANO
from tuner.policies.demand import SHORT_NS

__all__ = ["replay_ns"]

_DEVIATIONS = 3.0
_PARTS = 5
"""A stretch of 5 s is looked at second by second."""

_CUT = 0.1
"""A stretch that lacks no more than this part of itself counts as whole."""

_NONE = np.empty(0)


def replay_ns(
    arrival_ns: NDArray[np.int64], now_ns: int, span_ns: int, most: int, rate_qps: float
) -> NDArray[np.float64]:
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
    # What is left of a stretch that was cut off would come as a burst; there may be nothing but that.
    whole_ns = int(ago_ns[0] / SHORT_NS + _CUT) * SHORT_NS
    in_whole = ago_ns < whole_ns
    ago_ns = ago_ns[in_whole] if in_whole.any() else ago_ns
    stretch = ago_ns // SHORT_NS
    parts = np.bincount(ago_ns // (SHORT_NS // _PARTS), minlength=(int(stretch[0]) + 1) * _PARTS).reshape(-1, _PARTS)
    counts = np.where(_steady(parts), parts.sum(axis=1), 0)[::-1]
    stretch = int(stretch[0]) - stretch
    kept = counts[stretch] > 0
    stretch = stretch[kept]
    lengths_ns = counts * (NANO / rate_qps)
    begins_ns = np.cumsum(lengths_ns) - lengths_ns
    within = 1.0 - (ago_ns[kept] % SHORT_NS + 1) / SHORT_NS
    replayed: NDArray[np.float64] = begins_ns[stretch] + within * lengths_ns[stretch]
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
    kept: NDArray[np.bool_] = some & (far <= max(_DEVIATIONS, float(far[some].min())))
    return kept
