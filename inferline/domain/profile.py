"""The profile of one model on one hardware: latency of a batch against its size."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferline.units import MAX_TIME_NS, NANO, ceil_ns

__all__ = ["SERVICE_TIMES", "Profile"]

SERVICE_TIMES = ("mean", "p50", "p95", "p99")
"""Profile columns that can be planned with."""

Floats = NDArray[np.float64]


def _nothing() -> Floats:
    return np.empty(0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profile:
    """How long one replica takes for one batch, at the profiled batch sizes.

    Parameters
    ----------
    model, hardware
        What was measured, and on what.
    batch_size
        int64 (k,), strictly ascending, at least 1.
    latency_mean_s
        float64 (k,): seconds for one whole batch; finite and above 0.
    latency_p50_s, latency_p95_s, latency_p99_s, latency_std_s, throughput_qps, samples, load_s
        float64 (k,), NaN where the profile says nothing; ``load_s`` is the cold start of a replica.
    source
        Where each row comes from; (k,).

    Raises
    ------
    ValueError
        When shapes differ, batch sizes do not ascend, or a mean latency (or a percentile that is given) is not a
        positive number.
    """

    model: str
    hardware: str
    batch_size: NDArray[np.int64]
    latency_mean_s: Floats
    latency_p50_s: Floats = field(default_factory=_nothing)
    latency_p95_s: Floats = field(default_factory=_nothing)
    latency_p99_s: Floats = field(default_factory=_nothing)
    latency_std_s: Floats = field(default_factory=_nothing)
    throughput_qps: Floats = field(default_factory=_nothing)
    samples: Floats = field(default_factory=_nothing)
    load_s: Floats = field(default_factory=_nothing)
    source: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        sizes = np.array(self.batch_size, dtype=np.int64)
        _freeze(self, "batch_size", sizes)
        if sizes.ndim != 1 or sizes.size == 0 or sizes[0] < 1 or np.any(np.diff(sizes) <= 0):
            raise ValueError(f"profile {self.model!r} on {self.hardware!r}: batch sizes must ascend from at least 1")
        for name in ("latency_mean_s", *_OPTIONAL):
            column = np.array(getattr(self, name), dtype=np.float64)
            if column.size == 0 and name in _OPTIONAL:
                column = np.full(sizes.size, np.nan)
            if column.shape != sizes.shape:
                raise ValueError(f"profile {self.model!r} on {self.hardware!r}: {name} has the wrong length")
            _freeze(self, name, column)
        if not np.all((self.latency_mean_s > 0) & (self.latency_mean_s < MAX_TIME_NS / NANO)):
            raise ValueError(f"profile {self.model!r} on {self.hardware!r}: mean latency must be a positive number")
        for name in _LATENCIES:
            column = getattr(self, name)
            if not np.all(np.isnan(column) | ((column > 0) & (column < MAX_TIME_NS / NANO))):
                raise ValueError(f"profile {self.model!r} on {self.hardware!r}: {name} must be positive where given")
        if not self.source:
            object.__setattr__(self, "source", ("",) * sizes.size)

    def latency_s(self, service_time: str = "mean") -> Floats:
        """Return the latency column of that name (one of `SERVICE_TIMES`); float64 (k,)."""
        column: Floats = getattr(self, f"latency_{service_time}_s")
        return column

    def has(self, service_time: str) -> bool:
        """Whether every row says that latency."""
        return bool(np.all(np.isfinite(self.latency_s(service_time))))

    def batch_latency_ns(self, max_batch: int, service_time: str = "mean") -> NDArray[np.int64]:
        """Return L(1) ... L(max_batch) in nanoseconds; int64 (max_batch,).

        Below the smallest profiled size that size's latency holds; between sizes it is interpolated linearly, in
        exact fractions; then it is rounded up to whole nanoseconds, at least 1.

        Raises
        ------
        ValueError
            When ``max_batch`` is above the largest profiled size, or the column has gaps.
        """
        sizes = [int(size) for size in self.batch_size]
        if not 1 <= max_batch <= sizes[-1]:
            raise ValueError(f"profile {self.model!r} on {self.hardware!r}: no batch size {max_batch}")
        if not self.has(service_time):
            raise ValueError(f"profile {self.model!r} on {self.hardware!r}: latency_{service_time}_s has gaps")
        latency = [Fraction(str(value)) for value in self.latency_s(service_time).tolist()]
        table = np.empty(max_batch, dtype=np.int64)
        right = 0
        for batch in range(1, max_batch + 1):
            while sizes[right] < batch:
                right += 1
            exact = latency[right]
            if right > 0 and sizes[right] != batch:
                left = right - 1
                share = Fraction(batch - sizes[left], sizes[right] - sizes[left])
                exact = latency[left] + (latency[right] - latency[left]) * share
            table[batch - 1] = ceil_ns(exact)
        table.flags.writeable = False
        return table


_LATENCIES = ("latency_p50_s", "latency_p95_s", "latency_p99_s")
_OPTIONAL = (
    *_LATENCIES,
    "latency_std_s",
    "throughput_qps",
    "samples",
    "load_s",
)


def _freeze(profile: Profile, name: str, column: NDArray[Any]) -> None:
    column.flags.writeable = False
    object.__setattr__(profile, name, column)
