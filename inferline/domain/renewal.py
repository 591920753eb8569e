"""Renewal processes: arrivals with independent gaps of one distribution, by duration or by number."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from inferline.domain.generation import (
    MAX_ARRIVALS,
    Floats,
    check_arrivals,
    check_cv2,
    check_number,
    check_whole,
    renewals_until,
    trace_within,
    whole_ns,
)
from inferline.domain.randomness import keyed_generator
from inferline.domain.trace import Trace
from inferline.units import MAX_TIME_NS, NANO

__all__ = ["even_trace", "gamma_trace", "poisson_trace"]


def gamma_trace(
    *, rate: float, cv2: float, duration_ns: int | None = None, queries: int | None = None, seed: int = 0
) -> Trace:
    """Draw arrivals with independent gamma gaps of mean 1 / rate and variance / mean^2 = cv2 (shape 1 / cv2).

    The first arrival comes one gap after 0. The same seed, rate and cv2 give the same arrivals, however many are
    asked for: a longer trace keeps its beginning.

    Parameters
    ----------
    rate
        Arrivals per second, above 0.
    cv2
        Squared coefficient of variation of the gaps, from 1e-9 to 1e9; 1 makes them exponential. (The experiments
        of the InferLine paper call this number CV.)
    duration_ns
        Length of the trace: the arrivals in [0, duration) are kept. Give either this or ``queries``.
    queries
        Number of arrivals; the trace ends 1 ns after the last.
    seed
        Any integer.

    Raises
    ------
    ValueError
        When a parameter is out of range, no arrival results, or more than 100,000,000 would.

    Examples
    --------
    >>> trace = gamma_trace(rate=100, cv2=4, queries=10_000, seed=1)
    >>> len(trace), 95 < trace.mean_qps < 105
    (10000, True)
    """
    check_cv2(cv2)
    generator = keyed_generator(seed, "gamma")
    return _trace(lambda count: generator.standard_gamma(1 / cv2, count) * cv2, rate, duration_ns, queries)


def poisson_trace(*, rate: float, duration_ns: int | None = None, queries: int | None = None, seed: int = 0) -> Trace:
    """Draw a Poisson process: independent exponential gaps of mean 1 / rate.

    Parameters, errors and what a longer trace keeps are those of `gamma_trace`.

    Examples
    --------
    >>> len(poisson_trace(rate=50, queries=1_000))
    1000
    """
    return _trace(keyed_generator(seed, "poisson").standard_exponential, rate, duration_ns, queries)


def even_trace(*, rate: float, duration_ns: int | None = None, queries: int | None = None, seed: int = 0) -> Trace:
    """Return arrivals at 0, 1 / rate, 2 / rate ... seconds.

    With ``queries`` the trace ends one gap after the last arrival. ``seed`` is taken, as everywhere, and changes
    nothing. Parameters and errors are those of `gamma_trace`.

    Examples
    --------
    >>> even_trace(rate=4, duration_ns=NANO).arrival_ns.tolist()
    [0, 250000000, 500000000, 750000000]
    >>> even_trace(rate=4, queries=3).duration_ns
    750000000
    """
    del seed
    extent = _extent(rate, duration_ns, queries)
    if duration_ns is not None:
        return trace_within(np.arange(max(1, math.ceil(extent))) * NANO / rate, duration_ns)
    _check_length(extent, rate)
    instants = whole_ns(np.arange(int(extent) + 1) * NANO / rate)
    return Trace(instants[:-1], int(instants[-1]))


def _trace(draw: Callable[[int], Floats], rate: float, duration_ns: int | None, queries: int | None) -> Trace:
    """Return the renewal process with gaps of mean 1 from ``draw``, run at that rate."""
    extent = _extent(rate, duration_ns, queries)
    if duration_ns is not None:
        return trace_within(renewals_until(draw, extent) * (NANO / rate), duration_ns)
    sums = np.cumsum(draw(int(extent)))
    _check_length(float(sums[-1]), rate)
    instants = whole_ns(sums * (NANO / rate))
    return Trace(instants, int(instants[-1]) + 1)


def _extent(rate: float, duration_ns: int | None, queries: int | None) -> float:
    """Return the number of mean gaps that the trace lasts; exactly one of its two measures is given."""
    check_number("rate", rate)
    if duration_ns is not None and queries is None:
        check_whole("duration_ns", duration_ns)
        expected = duration_ns * rate / NANO
        check_arrivals(expected)
        return expected
    if queries is not None and duration_ns is None:
        check_whole("queries", queries, MAX_ARRIVALS)
        return queries
    raise ValueError("give either duration_ns or queries, not both")


def _check_length(gaps: float, rate: float) -> None:
    if not gaps * NANO / rate < MAX_TIME_NS:
        raise ValueError(f"at rate {rate!r} the trace is longer than 146 years (2**62 ns); a higher one is accepted")
