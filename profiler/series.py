"""The samples of one batch size as they come in, and what they say so far."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from profiler.results import Row, Samples, Target
from profiler.schedule import Evidence
from profiler.statistics import mean_interval, percentile, quantile_interval, warm_up

__all__ = ["Series"]


@dataclass(slots=True, kw_only=True)
class Series:
    """The samples of one batch size.

    Parameters
    ----------
    size
        Batch size.
    at_s, latency_s, hop_s
        As in `profiler.results.Samples`.
    block
        Number of the block that each sample belongs to: 0 for the ramp, then one for each round.
    since
        Samples before this one are of an earlier replica, and never count.
    start
        The first sample that counts, as of the last estimate.
    rounds, spent_s
        Rounds that it has taken part in, and what they took.
    stopped
        As in `profiler.results.Row`.
    """

    size: int
    at_s: array[float] = field(default_factory=lambda: array("d"))
    latency_s: array[float] = field(default_factory=lambda: array("d"))
    hop_s: array[float] = field(default_factory=lambda: array("d"))
    block: array[int] = field(default_factory=lambda: array("q"))
    since: int = 0
    start: int = 1
    rounds: int = 0
    spent_s: float = 0.0
    stopped: str = "unfinished"

    def add(self, at_s: float, latency_s: float, hop_s: float) -> None:
        """Take in one sample."""
        self.at_s.append(at_s)
        self.latency_s.append(latency_s)
        self.hop_s.append(hop_s)
        self.block.append(self.rounds)

    def begin_again(self) -> None:
        """Note that the samples from here on are of another replica, which warms up anew."""
        self.since, self.start = len(self.at_s), len(self.at_s) + 1
        self.rounds, self.spent_s = 0, 0.0

    def samples(self) -> Samples:
        """Return all samples so far."""
        return Samples(
            at_s=np.array(self.at_s),
            latency_s=np.array(self.latency_s),
            hop_s=np.array(self.hop_s),
            counted=np.arange(len(self.at_s)) >= self.start,
        )

    def typical_s(self) -> tuple[float, float]:
        """Return the medians of latency and hop, of the samples that count; else of the last one."""
        start = min(self.start, len(self.at_s) - 1)
        return float(np.median(self.latency_s[start:])), float(np.median(self.hop_s[start:]))

    def estimate(self, target: Target, load_s: float, source: str) -> tuple[Row, Evidence] | None:
        """Return the row so far and how well it is known; None as long as no sample counts.

        The first sample is always warm-up, and more are when it shows.
        """
        self.start = self.since + max(1, warm_up(np.array(self.latency_s[self.since :])))
        latency, hop = np.array(self.latency_s[self.start :]), np.array(self.hop_s[self.start :])
        if not latency.size:
            return None
        mean = mean_interval(_blocks(latency, self.block[self.start :]))
        low, high = quantile_interval(latency)
        tail = percentile(latency, 99)
        row = Row(
            model=target.entry.name,
            hardware=target.hardware.name,
            batch_size=self.size,
            latency_mean_s=mean.mean,
            latency_mean_ci_s=mean.half_width,
            latency_p50_s=percentile(latency, 50),
            latency_p95_s=percentile(latency, 95),
            latency_p99_s=tail,
            latency_p99_low_s=low,
            latency_p99_high_s=high,
            latency_std_s=float(latency.std(ddof=1)) if latency.size > 1 else math.nan,
            throughput_qps=self.size / mean.mean,
            samples=latency.size,
            load_s=load_s,
            stopped=self.stopped,
            measured_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            source=source,
            **_hop_columns(hop),
        )
        evidence = Evidence(
            samples=latency.size,
            rounds=self.rounds,
            spent_s=self.spent_s,
            mean_share=mean.half_width / mean.mean,
            tail_share=(high - low) / 2 / tail,
        )
        return row, evidence


def _hop_columns(hop: NDArray[np.float64]) -> Mapping[str, Any]:
    return {"hop_mean_s": float(hop.mean()), **{f"hop_p{p}_s": percentile(hop, p) for p in (50, 95, 99)}}


def _blocks(values: NDArray[np.float64], numbers: array[int]) -> list[NDArray[np.float64]]:
    edges = np.flatnonzero(np.diff(numbers)) + 1
    return list(np.split(values, edges))
