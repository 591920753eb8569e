"""Traffic that is known by the second only: how many requests in each, and how they may lie within it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from inferline.domain.generation import check_arrivals, check_cv2, check_number, whole_ns
from inferline.domain.randomness import NumberedStreams
from inferline.domain.trace import Trace
from inferline.units import MAX_TIME_NS, NANO

__all__ = ["SPREADS", "PerSecondCounts"]


@dataclass(frozen=True, slots=True, eq=False)
class PerSecondCounts:
    """Requests in each second, counted from second 0.

    Parameters
    ----------
    requests
        int64 (seconds,), at least 0 each and at least 1 in all; kept as a read-only copy.

    Raises
    ------
    ValueError
        When the counts are not whole numbers, are negative, or are all 0.

    Examples
    --------
    >>> counts = PerSecondCounts(np.array([3, 0, 5]))
    >>> counts.total, counts.peak, counts.scaled(2.5).requests.tolist()
    (8, 5, [8, 0, 12])
    """

    requests: NDArray[np.int64]

    def __post_init__(self) -> None:
        given = np.asarray(self.requests)
        if given.ndim != 1 or given.size == 0:
            raise ValueError("requests per second are one number for each second, and at least one")
        if given.dtype.kind not in "iu":
            raise ValueError(f"requests per second are whole numbers, not {given.dtype}")
        requests = np.array(given, dtype=np.int64)
        requests.flags.writeable = False
        object.__setattr__(self, "requests", requests)
        if np.any(requests < 0):
            second = int(np.argmax(requests < 0))
            raise ValueError(f"second {second}: {given[second]} requests; a count lies in [0, 2**62]")
        # Summed as floats first: a sum of integers that wraps around would pass for a small one.
        if not 1 <= float(requests.sum(dtype=np.float64)) <= MAX_TIME_NS:
            raise ValueError("a trace needs at least one request, and at most 2**62")

    def __len__(self) -> int:
        return int(self.requests.size)

    @property
    def total(self) -> int:
        """All requests."""
        return int(self.requests.sum())

    @property
    def peak(self) -> int:
        """Requests in the busiest second."""
        return int(self.requests.max())

    def scaled(self, factor: float) -> PerSecondCounts:
        """Return the counts times ``factor``, each rounded half to even.

        Raises
        ------
        ValueError
            When ``factor`` is not a number above 0, or nothing is left.
        """
        check_number("factor", factor)
        requests = np.rint(self.requests * float(factor))
        if not requests.any():
            raise ValueError(f"scaled by {factor}, no request is left (busiest second: {self.peak})")
        if requests.max() > MAX_TIME_NS:
            raise ValueError(f"scaled by {factor}, the busiest second has more than 2**62 requests")
        return PerSecondCounts(requests.astype(np.int64))

    def spread(self, how: str = "poisson", *, seed: int = 0, cv2: float = 4.0) -> Trace:
        """Return a trace with exactly these counts: every second's requests lie in [s, s + 1) seconds.

        The instants in a second depend on (how, seed, second, its count, cv2) and on nothing else: a longer or
        otherwise changed trace keeps the seconds that it shares. That costs about 7 microseconds per busy second,
        besides some 30 ns per request.

        Parameters
        ----------
        how
            ``poisson``: independent and uniform, which is a Poisson process given its count. ``gamma``: n + 1
            gamma gaps fill the second, and the n instants between them are the arrivals. ``even``: the k-th of n
            (from 0) at (k + 0.5) / n of the second.
        seed
            Any integer.
        cv2
            Variance / mean^2 of the gamma gaps before they are fitted into the second; only for ``gamma``. Near 0 the
            arrivals are even, at 1 uniform, above 1 clustered.

        Returns
        -------
        Trace
            As long as there are seconds, with `total` arrivals.

        Raises
        ------
        ValueError
            When ``how`` is not one of `SPREADS`, ``cv2`` is outside [1e-9, 1e9], or there are more than
            100,000,000 requests.
        """
        if how not in _OFFSETS:
            raise ValueError(f"unknown spread {how!r}; use {', '.join(SPREADS[:-1])} or {SPREADS[-1]}")
        check_arrivals(self.total)
        check_cv2(cv2)
        offsets = _OFFSETS[how]
        streams = NumberedStreams(seed, "spread", how)
        arrivals = np.empty(self.total, dtype=np.int64)
        end = 0
        for second in np.flatnonzero(self.requests).tolist():
            start, end = end, end + int(self.requests[second])
            arrivals[start:end] = offsets(streams.at(second), end - start, cv2)
            arrivals[start:end] += second * NANO
        return Trace(arrivals, len(self) * NANO)


_Offsets = Callable[[np.random.Generator, int, float], NDArray[np.int64]]


def _poisson_offsets(generator: np.random.Generator, count: int, _cv2: float) -> NDArray[np.int64]:
    offsets = generator.integers(0, NANO, count)
    offsets.sort()
    return offsets


def _gamma_offsets(generator: np.random.Generator, count: int, cv2: float) -> NDArray[np.int64]:
    if cv2 <= 10:
        gaps = generator.standard_gamma(1 / cv2, count + 1)
    else:
        # Most gaps would underflow to 0, perhaps all of a second. Gamma(a) is Gamma(a + 1) * U^(1/a): its logarithm
        # does not underflow, and only the ratios of the gaps matter.
        logarithms = np.log(generator.standard_gamma(1 / cv2 + 1, count + 1))
        logarithms -= generator.standard_exponential(count + 1) * cv2
        gaps = np.exp(logarithms - logarithms.max())
    ends = np.cumsum(gaps)
    # What rounds to the end of the second stays inside it.
    return np.minimum(whole_ns(ends[:-1] * (NANO / ends[-1])), NANO - 1)


def _even_offsets(_generator: np.random.Generator, count: int, _cv2: float) -> NDArray[np.int64]:
    return whole_ns((np.arange(count) + 0.5) * (NANO / count))


_OFFSETS: Mapping[str, _Offsets] = MappingProxyType(
    {"poisson": _poisson_offsets, "gamma": _gamma_offsets, "even": _even_offsets}
)

SPREADS = tuple(_OFFSETS)
"""Ways to spread a second's requests over it."""
