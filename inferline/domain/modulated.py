"""Poisson processes whose rate changes in time: by a Markov chain, in a line, or as a square wave.

All are a Poisson process of rate 1 read on another clock: the number of arrivals expected up to t, inverted. That is
exact, with neither thinning nor steps in time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inferline.domain.generation import Floats, check_number, check_whole, renewals_until, trace_within
from inferline.domain.randomness import keyed_generator
from inferline.domain.trace import Trace
from inferline.units import NANO

__all__ = ["markov_trace", "ramp_trace", "square_trace"]

_MOST_PIECES = 10_000_000


def markov_trace(*, rates: Sequence[float], stays_ns: Sequence[float], duration_ns: int, seed: int = 0) -> Trace:
    """Draw a Markov-modulated Poisson process whose states follow each other in a circle.

    The process is in the first state at 0. It stays in each state for an exponential time, then moves to the next.
    A longer duration keeps the beginning.

    Parameters
    ----------
    rates
        Arrivals per second in each state, 0 or more.
    stays_ns
        Mean time in each state, above 0.
    duration_ns
        Length of the trace: the arrivals in [0, duration) are kept.
    seed
        Any integer.

    Raises
    ------
    ValueError
        When a parameter is out of range, no arrival results, more than 100,000,000 would, or the state changes more
        than 10,000,000 times.

    Examples
    --------
    >>> trace = markov_trace(rates=[10, 200], stays_ns=[20 * NANO, 5 * NANO], duration_ns=600 * NANO, seed=1)
    >>> 10 < trace.mean_qps < 200
    True
    """
    check_whole("duration_ns", duration_ns)
    if not _are_lists(rates, stays_ns) or not len(rates) == len(stays_ns) > 0:
        raise ValueError("rates and stays_ns are lists of one length, with one number for each state")
    for state, (rate, stay_ns) in enumerate(zip(rates, stays_ns, strict=True)):
        check_number(f"rates[{state}]", rate, or_zero=True)
        check_number(f"stays_ns[{state}]", stay_ns)
    generator = keyed_generator(seed, "markov", "stays")
    ends_ns = _ends_of_stays(generator, np.array(stays_ns, dtype=np.float64), duration_ns)
    rate_of = np.resize(np.array(rates, dtype=np.float64), ends_ns.size)
    return _piecewise_trace(keyed_generator(seed, "markov", "arrivals"), ends_ns, rate_of, duration_ns)


def ramp_trace(*, start_rate: float, end_rate: float, duration_ns: int, seed: int = 0) -> Trace:
    """Draw a Poisson process whose rate goes in a line from ``start_rate`` at 0 to ``end_rate`` at the end.

    Parameters
    ----------
    start_rate, end_rate
        Arrivals per second, 0 or more; falling ramps are accepted.
    duration_ns
        Length of the trace. Another duration is another slope, hence other arrivals throughout.
    seed
        Any integer.

    Raises
    ------
    ValueError
        When a parameter is out of range, no arrival results, or more than 100,000,000 would.

    Examples
    --------
    >>> trace = ramp_trace(start_rate=0, end_rate=100, duration_ns=100 * NANO, seed=1)
    >>> 4_700 < len(trace) < 5_300, len(trace.first(0.5)) < len(trace) / 3
    (True, True)
    """
    check_whole("duration_ns", duration_ns)
    check_number("start_rate", start_rate, or_zero=True)
    check_number("end_rate", end_rate, or_zero=True)
    # With a, b = the two rates times T, and x = t / T, the expected number up to t is  a x + (b - a) x^2 / 2.
    begin, end = (rate * duration_ns / NANO for rate in (start_rate, end_rate))
    expected = renewals_until(keyed_generator(seed, "ramp").standard_exponential, (begin + end) / 2)
    # The root without cancellation, whatever the sign of the slope; below 0 by rounding only.
    root = np.sqrt(np.maximum(begin * begin + 2 * (end - begin) * expected, 0.0))
    part = np.divide(2 * expected, begin + root, out=np.zeros_like(expected), where=begin + root > 0)
    return trace_within(part * duration_ns, duration_ns)


def square_trace(
    *, low_rate: float, high_rate: float, period_ns: int, duration_ns: int, duty: float = 0.5, seed: int = 0
) -> Trace:
    """Draw a Poisson process with ``high_rate`` in the first ``duty`` share of every period, then ``low_rate``.

    A longer duration keeps the beginning.

    Parameters
    ----------
    low_rate, high_rate
        Arrivals per second, 0 or more; the high one is at least the low one.
    period_ns
        Length of a period; the first begins at 0.
    duration_ns
        Length of the trace: the arrivals in [0, duration) are kept.
    duty
        Share of the period with the high rate, in (0, 1).
    seed
        Any integer.

    Raises
    ------
    ValueError
        When a parameter is out of range, no arrival results, more than 100,000,000 would, or there are more than
        5,000,000 periods.

    Examples
    --------
    >>> square = {"low_rate": 0, "high_rate": 100, "period_ns": 10 * NANO, "duty": 0.2}
    >>> trace = square_trace(**square, duration_ns=100 * NANO, seed=1)
    >>> bool((trace.arrival_ns % (10 * NANO) <= 2 * NANO).all())
    True
    """
    check_whole("duration_ns", duration_ns)
    check_whole("period_ns", period_ns)
    check_number("low_rate", low_rate, or_zero=True)
    check_number("high_rate", high_rate, or_zero=True)
    check_number("duty", duty)
    if low_rate > high_rate:
        raise ValueError(f"low_rate {low_rate!r} is above high_rate {high_rate!r}; at most the same is accepted")
    if duty >= 1:
        raise ValueError(f"duty is {duty!r}; a share of the period above 0 and below 1 is accepted")
    periods = -(-duration_ns // period_ns)
    if 2 * periods > _MOST_PIECES:
        least = -(-2 * duration_ns // _MOST_PIECES)
        raise ValueError(f"period_ns is {period_ns:,}; for this duration, a number from {least:,} is accepted")
    starts_ns = np.arange(periods, dtype=np.float64) * period_ns
    ends_ns = np.column_stack((starts_ns + duty * period_ns, starts_ns + period_ns)).ravel()
    rate_of = np.tile(np.array([high_rate, low_rate], dtype=np.float64), periods)
    return _piecewise_trace(keyed_generator(seed, "square"), ends_ns, rate_of, duration_ns)


def _are_lists(*values: object) -> bool:
    return all(isinstance(value, list | tuple | np.ndarray) for value in values)


def _ends_of_stays(generator: np.random.Generator, means_ns: Floats, duration_ns: int) -> Floats:
    """Return when each of the consecutive stays ends, until one ends at the duration or later."""
    states = means_ns.size
    chunks: list[Floats] = []
    drawn, last = 0, 0.0
    while last < duration_ns:
        # Whole rounds of the states, doubling: about as many as are needed, whatever the means are.
        stays = generator.standard_exponential((max(drawn // states, 16), states)) * means_ns
        ends = stays.ravel()
        ends[0] += last
        np.cumsum(ends, out=ends)
        chunks.append(ends)
        drawn, last = drawn + ends.size, float(ends[-1])
        if last < duration_ns and drawn > _MOST_PIECES:
            raise ValueError(f"the state changes more than {drawn:,} times; longer stays are accepted")
    ends = np.concatenate(chunks)
    return ends[: np.searchsorted(ends, duration_ns) + 1]


def _piecewise_trace(generator: np.random.Generator, ends_ns: Floats, rate_of: Floats, duration_ns: int) -> Trace:
    """Draw a Poisson process whose rate is constant in each piece; the pieces reach the duration.

    Parameters
    ----------
    ends_ns, rate_of
        float64 (pieces,): where each piece ends, and its rate per second; the first begins at 0.
    """
    starts_ns = np.concatenate(([0.0], ends_ns[:-1]))
    lengths_ns = np.diff(np.minimum(ends_ns, duration_ns), prepend=0.0)
    expected = np.concatenate(([0.0], np.cumsum(lengths_ns * rate_of / NANO)))
    sums = renewals_until(generator.standard_exponential, float(expected[-1]))
    # Of the pieces at the same expected number the last one is meant: the others have rate 0, or no length.
    piece = np.searchsorted(expected, sums, side="right") - 1
    instants_ns = starts_ns[piece] + (sums - expected[piece]) * (NANO / rate_of[piece])
    # Rounding must not carry an arrival past the end of its piece, or the order could break.
    return trace_within(np.minimum(instants_ns, ends_ns[piece]), duration_ns)
