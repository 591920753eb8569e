"""The profile of one model on one hardware: latency of a batch against its size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferline.units import MAX_TIME_NS, NANO, ceil_ns

__all__ = ["SERVICE_TIMES", "Profile"]

SERVICE_TIMES: Mapping[str, str] = MappingProxyType(
    {
        "mean": "latency_mean_s",
        "p50": "latency_p50_s",
        "p95": "latency_p95_s",
        "p99": "latency_p99_s",
        "hop_mean": "hop_mean_s",
        "hop_p50": "hop_p50_s",
        "hop_p95": "hop_p95_s",
        "hop_p99": "hop_p99_s",
    }
)
"""Profile columns that can be planned with, by what ``planner: {service_time: ...}`` calls them."""

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
    hop_mean_s, hop_p50_s, hop_p95_s, hop_p99_s
        float64 (k,), NaN where the profile says nothing: the same batch from sending it to a replica to the whole
        answer.
    colocated_slowdown
        float64 (k,), NaN where it was not measured: mean latency while several replicas share the machine, over mean
        latency alone.
    source
        Where each row comes from; (k,).

    Raises
    ------
    ValueError
        When shapes differ, batch sizes do not ascend, or a mean latency (or a percentile, a hop or a slowdown that is
        given) is not a positive number.
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
    hop_mean_s: Floats = field(default_factory=_nothing)
    hop_p50_s: Floats = field(default_factory=_nothing)
    hop_p95_s: Floats = field(default_factory=_nothing)
    hop_p99_s: Floats = field(default_factory=_nothing)
    colocated_slowdown: Floats = field(default_factory=_nothing)
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
        if not np.all((self.slowdown > 0) & np.isfinite(self.slowdown)):
            raise ValueError(
                f"profile {self.model!r} on {self.hardware!r}: colocated_slowdown must be positive where given"
            )
        for name in SERVICE_TIMES.values():
            column = getattr(self, name)
            lacking = np.isnan(column) & (name in _OPTIONAL)
            with np.errstate(over="ignore"):
                fits = (column > 0) & (column * self.slowdown < MAX_TIME_NS / NANO)
            if not np.all(lacking | fits):
                raise ValueError(f"profile {self.model!r} on {self.hardware!r}: {name} must be positive where given")
        if not self.source:
            object.__setattr__(self, "source", ("",) * sizes.size)

    @property
    def slowdown(self) -> Floats:
        """What every row is planned with times its latency: ``colocated_slowdown``, 1 where it was not measured."""
        return np.where(np.isnan(self.colocated_slowdown), 1.0, self.colocated_slowdown)

    def latency_s(self, service_time: str = "mean") -> Floats:
        """Return the latency column of that name (one of `SERVICE_TIMES`) as it was measured; float64 (k,)."""
        column: Floats = getattr(self, SERVICE_TIMES[service_time])
        return column

    def has(self, service_time: str) -> bool:
        """Whether every row says that latency."""
        return bool(np.all(np.isfinite(self.latency_s(service_time))))

    def batch_latency_ns(self, max_batch: int, service_time: str = "mean") -> NDArray[np.int64]:
        """Return L(1) ... L(max_batch) in nanoseconds; int64 (max_batch,).

        The latency of a profiled size is the column, times the slowdown where one was measured: a replica seldom has
        its machine to itself. Below the smallest profiled size that size's latency holds; between sizes it is
        interpolated linearly, in exact fractions; then it is rounded up to whole nanoseconds, at least 1.

        Raises
        ------
        ValueError
            When ``max_batch`` is above the largest profiled size, or the column has gaps.
        """
        sizes = [int(size) for size in self.batch_size]
        if not 1 <= max_batch <= sizes[-1]:
            raise ValueError(f"profile {self.model!r} on {self.hardware!r}: no batch size {max_batch}")
        if not self.has(service_time):
            raise ValueError(f"profile {self.model!r} on {self.hardware!r}: {SERVICE_TIMES[service_time]} has gaps")
        rows = zip(self.latency_s(service_time).tolist(), self.slowdown.tolist(), strict=True)
        latency = [Fraction(str(value)) * Fraction(str(slowdown)) for value, slowdown in rows]
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


_OPTIONAL = (
    *(column for column in SERVICE_TIMES.values() if column != "latency_mean_s"),
    "latency_std_s",
    "throughput_qps",
    "samples",
    "load_s",
    "colocated_slowdown",
)


def _freeze(profile: Profile, name: str, column: NDArray[Any]) -> None:
    column.flags.writeable = False
    object.__setattr__(profile, name, column)
