"""How service times differ from batch to batch: inverse distribution functions through profiled percentiles.

A profile says the mean of each batch size, and perhaps some of P50, P95, P99 and the standard deviation. From them
comes a piecewise linear inverse distribution function whose mean is the profiled one; `quantile_rows` cuts it into a
hundred equally likely service times. `docs/background/uncertainty.md` has the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Profile
from inferline.units import NANO

__all__ = ["ROWS", "inverse_cdf", "quantile_rows", "spread_sources"]

Floats = NDArray[np.float64]

ROWS = 100
"""Equally likely service times per batch size: the corners at 0.5, 0.95 and 0.99 lie between two of them."""

_LEVELS = (0.5, 0.95, 0.99)
_COLUMNS = ("p50", "p95", "p99")


def spread_sources(profile: Profile) -> tuple[str, ...]:
    """Return where the spread of every profiled batch size comes from: ``percentiles``, ``std`` or ``none``."""
    return tuple(_source(_given(profile, place), _std_s(profile, place)) for place in range(profile.batch_size.size))


def quantile_rows(profile: Profile, max_batch: int) -> NDArray[np.int64]:
    """Return service times in nanoseconds, int64 (K, max_batch), all rows equally likely and ascending.

    Row k is the mean of the inverse distribution function over [k / K, (k + 1) / K]; batch sizes between profiled
    ones are interpolated linearly in each row, as the means are. One row, exactly the profiled means, when no batch
    size has a spread. Everything is of the model alone, whatever column is planned with, times the slowdown where one
    was measured, as in `Profile.batch_latency_ns`.
    """
    if all(source == "none" for source in spread_sources(profile)):
        return profile.batch_latency_ns(max_batch)[np.newaxis]
    middles = (np.arange(ROWS) + 0.5) / ROWS
    at_sizes = np.empty((profile.batch_size.size, ROWS))
    for place, mean_s in enumerate(profile.latency_mean_s.tolist()):
        level, value_s = inverse_cdf(mean_s, _given(profile, place), _std_s(profile, place))
        # Corners lie on the borders of the rows, so that a row's mean is its value in the middle.
        at_sizes[place] = np.interp(middles, level, value_s) * profile.slowdown[place]
    batches = np.arange(1, max_batch + 1)
    rows = np.array([np.interp(batches, profile.batch_size, column) for column in at_sizes.T])
    whole: NDArray[np.int64] = np.maximum(1, np.rint(rows * NANO)).astype(np.int64)
    return whole


def inverse_cdf(mean_s: float, given: Mapping[float, float], std_s: float = math.nan) -> tuple[Floats, Floats]:
    """Return the corners of a piecewise linear inverse distribution function: levels in [0, 1], and seconds.

    Parameters
    ----------
    mean_s
        The mean that it is to have.
    given
        Known percentiles by level (0.5, 0.95, 0.99); any of them may be missing.
    std_s
        Standard deviation, used when no percentile is known: those of the lognormal distribution with this mean and
        this deviation take their place. NaN for unknown.

    Notes
    -----
    Below the lowest known percentile times are as equal as the mean allows: constant up to the level before it, or,
    below a known P50, falling linearly. That constant (the lower end) is what the mean decides. Above the highest
    known percentile they rise to an upper end whose mean excess is that of the exponential tail through the two
    highest corners. When even the highest possible lower end leaves the mean too low, everything is scaled up to the
    mean; when the lower end would be negative it is 0, and the mean stays too high.

    Examples
    --------
    >>> level, value_s = inverse_cdf(1.0, {0.5: 1.0, 0.95: 1.0, 0.99: 1.0})
    >>> value_s.tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    >>> level, value_s = inverse_cdf(0.0035, {0.99: 0.013})
    >>> level.tolist(), np.round(value_s, 3).tolist()
    ([0.0, 0.95, 0.99, 1.0], [0.003, 0.003, 0.013, 0.025])
    """
    known = dict(given) or (_lognormal(mean_s, std_s) if std_s > 0 else {})
    if not known:
        return np.array([0.0, 1.0]), np.array([mean_s, mean_s])
    levels = sorted(known)
    values = np.maximum.accumulate([known[level] for level in levels])
    body = [level for level in _LEVELS if level < levels[0]][-1:]  # constant up to here
    level = np.array([0.0, *body, *levels, 1.0])

    def corners(low_s: float) -> Floats:
        inner = np.array([low_s] * (1 + len(body)) + values.tolist())
        rate = (
            math.log((1 - level[-3]) / (1 - level[-2])) / (inner[-1] - inner[-2])
            if inner[-1] > inner[-2]
            else math.inf
        )
        return np.append(inner, inner[-1] + 2 / rate)

    lowest, highest = corners(0.0), corners(float(values[0]))
    mean_low, mean_high = _mean(level, lowest), _mean(level, highest)
    # The mean is linear in the lower end, and falls with it only when P50 alone is known.
    share = (mean_s - mean_low) / (mean_high - mean_low) if mean_high != mean_low else 1.0
    value_s = corners(float(np.clip(share, 0.0, 1.0)) * float(values[0]))
    found_s = _mean(level, value_s)
    return level, value_s * (mean_s / found_s) if found_s < mean_s else value_s


def _mean(level: Floats, value_s: Floats) -> float:
    return float(np.sum(np.diff(level) * (value_s[1:] + value_s[:-1])) / 2)


def _lognormal(mean_s: float, std_s: float) -> dict[float, float]:
    variance = math.log1p((std_s / mean_s) ** 2)
    middle, width = math.log(mean_s) - variance / 2, math.sqrt(variance)
    return {level: math.exp(middle + width * NormalDist().inv_cdf(level)) for level in _LEVELS}


def _given(profile: Profile, place: int) -> dict[float, float]:
    values = {level: float(profile.latency_s(name)[place]) for level, name in zip(_LEVELS, _COLUMNS, strict=True)}
    return {level: value for level, value in values.items() if not math.isnan(value)}


def _std_s(profile: Profile, place: int) -> float:
    return float(profile.latency_std_s[place])


def _source(given: Mapping[float, float], std_s: float) -> str:
    if given:
        return "percentiles"
    return "std" if std_s > 0 else "none"
