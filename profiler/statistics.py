"""What samples of a latency say: percentiles, intervals, and where the warm-up ends. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inferline.domain.slo import nearest_rank

__all__ = ["MeanInterval", "mean_interval", "percentile", "quantile_interval", "warm_up"]

Floats = NDArray[np.float64]

_GROUP = 5
_GROUPED_FROM = 50
_CLIP = 5.0
_CLEAR = 3.0
_LEAST = 4
_MAD_TO_SIGMA = 1.4826
"""Standard deviation over median absolute deviation, of the normal distribution."""


class MeanInterval(NamedTuple):
    """A mean and the half width of its confidence interval; NaN from a single block."""

    mean: float
    half_width: float


def mean_interval(blocks: Sequence[Floats], confidence: float = 0.95) -> MeanInterval:
    """Return the mean of all samples with Student's interval over the blocks.

    Batches that follow each other share the state of the machine, so that their number says little; blocks that were
    measured in different rounds are taken as independent. Blocks of different sizes count by their size (the ratio
    estimator of cluster sampling: Cochran, Sampling Techniques, 3rd ed. 1977, chapter 9A).

    Parameters
    ----------
    blocks
        float64 (n_i,) each, none empty; at least one.
    confidence
        In (0, 1).

    Examples
    --------
    >>> mean, half_width = mean_interval([np.array([1.0, 3.0]), np.array([4.0, 4.0])])
    >>> mean, round(half_width, 3)
    (3.0, 12.706)
    """
    from scipy.special import stdtrit  # type: ignore[import-untyped]  # noqa: PLC0415 - ships no types; slow to import

    counts = np.array([block.size for block in blocks], dtype=np.float64)
    sums = np.array([block.sum() for block in blocks])
    mean = float(sums.sum() / counts.sum())
    k = len(blocks)
    if k < 2:
        return MeanInterval(mean, math.nan)
    errors = (sums - counts * mean) / counts.mean()
    deviation = math.sqrt(float(np.sum(errors**2)) / (k - 1))
    return MeanInterval(mean, float(stdtrit(k - 1, (1 + confidence) / 2)) * deviation / math.sqrt(k))


def percentile(samples: Floats, p: int) -> float:
    """Return the nearest-rank percentile: element ceil(p / 100 * N) of the sorted samples, counted from 1.

    Examples
    --------
    >>> percentile(np.array([4.0, 1.0, 3.0, 2.0]), 50), percentile(np.array([4.0, 1.0, 3.0, 2.0]), 99)
    (2.0, 4.0)
    """
    rank = nearest_rank(Decimal(p), samples.size)
    return float(np.partition(samples, rank - 1)[rank - 1])


def quantile_interval(samples: Floats, quantile: float = 0.99, confidence: float = 0.95) -> tuple[float, float]:
    """Return an interval that covers a quantile with at least that confidence, whatever the distribution is.

    Its ends are order statistics: the number of samples below the quantile is binomial (Conover, Practical
    Nonparametric Statistics, 3rd ed. 1999, section 3.2). The upper end is the smallest that misses with at most half
    of the allowed error, or else the maximum; the lower end gets what is left of it. Samples count as independent.

    Returns
    -------
    tuple
        Lower and upper end; NaN both when even the maximum lies below the quantile too often: fewer than 299 samples
        for the P99 at 95 %.
    """
    from scipy.special import bdtr  # noqa: PLC0415 - slow to import

    n = samples.size
    error = 1 - confidence
    if n == 0 or quantile**n > error:
        return math.nan, math.nan
    centre, spread = n * quantile, math.sqrt(n * quantile * (1 - quantile))
    first, last = max(0, math.floor(centre - 8 * spread) - 2), min(n - 1, math.ceil(centre + 8 * spread) + 2)
    ranks = np.arange(first, last + 1)  # at most so many samples below the quantile
    below = bdtr(ranks, n, quantile)
    fine = np.flatnonzero(1 - below <= error / 2)
    upper = int(ranks[fine[0]]) + 1 if fine.size else n
    left = error - (1 - float(bdtr(upper - 1, n, quantile)))
    lower = int(ranks[np.flatnonzero(below <= left)[-1]]) + 1 if below[0] <= left else 1
    ordered = np.sort(samples)
    return float(ordered[lower - 1]), float(ordered[upper - 1])


def warm_up(samples: Floats) -> int:
    """Return how many samples at the beginning are a start-up transient; at most half of them.

    MSER-5 (White, An effective truncation heuristic for bias reduction in simulation output, Simulation 69(6), 1997):
    cut where the standard error of the mean of the rest, in groups of five, is least; below 50 samples, in groups of
    one. Latencies have outliers that simulation output has not, hence two provisos: values count at most five
    (robust) standard deviations of the second half away from its median, or one late outlier would cut all before
    it; and what is cut must differ from the rest by three standard errors, or steady noise would be shortened: if it
    does not, the best of the earlier cuts is tried.

    Parameters
    ----------
    samples
        float64 (n,), in the order of time.

    Examples
    --------
    >>> steady = np.tile([1.0, 1.1, 0.9, 1.05], 10)
    >>> warm_up(steady), warm_up(np.concatenate([[9.0, 7.0, 5.0], steady]))
    (0, 3)
    """
    half = samples[samples.size // 2 :]
    if samples.size < 2 * _LEAST:
        return 0
    median = float(np.median(half))
    sigma = _MAD_TO_SIGMA * float(np.median(np.abs(half - median)))
    clipped = np.clip(samples, median - _CLIP * sigma, median + _CLIP * sigma) if sigma > 0 else samples
    size = _GROUP if samples.size >= _GROUPED_FROM else 1
    groups = clipped[: clipped.size // size * size].reshape(-1, size).mean(axis=1)
    left = np.arange(groups.size, 0, -1)
    sums, squares = (np.cumsum(values[::-1])[::-1] for values in (groups - median, (groups - median) ** 2))
    error = (squares - sums**2 / left) / left**2
    cut = int(np.argmin(error[: groups.size // 2 + 1]))
    while cut and not _differ(clipped[: cut * size], clipped[cut * size :]):
        cut = int(np.argmin(error[:cut]))
    return cut * size


def _differ(start: Floats, rest: Floats) -> bool:
    error = float(rest.std(ddof=1)) * math.sqrt(1 / start.size + 1 / rest.size)
    return abs(float(start.mean() - rest.mean())) > _CLEAR * error
