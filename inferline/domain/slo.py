"""The latency objective and the percentile that goes with it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from inferline.units import MAX_TIME_NS

__all__ = ["Slo", "nearest_rank"]


def nearest_rank(percentile: Decimal, count: int) -> int:
    """Return the nearest rank ceil(p / 100 * N), counted from 1, in integers.

    Parameters
    ----------
    percentile
        p, in (0, 100].
    count
        N, at least 1.

    Examples
    --------
    >>> nearest_rank(Decimal(99), 1000), nearest_rank(Decimal("99.9"), 10), nearest_rank(Decimal(50), 5)
    (990, 10, 3)
    """
    share = Fraction(percentile) / 100
    return -((-share.numerator * count) // share.denominator)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """A latency that holds at a percentile of the queries.

    Parameters
    ----------
    latency_ns
        End-to-end latency, in whole nanoseconds; at least 1.
    percentile
        In (0, 100]; exact, so 99.9 means 999 of 1,000. A float counts as its shortest decimal text.
    """

    latency_ns: int
    percentile: Decimal

    def __post_init__(self) -> None:
        if not 1 <= self.latency_ns <= MAX_TIME_NS:
            raise ValueError(f"SLO latency_ns {self.latency_ns} is outside [1, 2**62]")
        # Untyped callers (notebooks) write 99.9: the double nearest to it lies above, and would add a rank.
        object.__setattr__(self, "percentile", Decimal(str(self.percentile)))
        if not (self.percentile.is_finite() and 0 < self.percentile <= 100):
            raise ValueError(f"SLO percentile {self.percentile} is outside (0, 100]")

    def allowance(self, count: int) -> int:
        """Return how many of ``count`` queries may be late: N - ceil(p / 100 * N)."""
        return count - nearest_rank(self.percentile, count)
