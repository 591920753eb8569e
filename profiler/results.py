"""What is measured, how far, and what came of it: the words that the profiler and its callers share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Hardware
from serving_adapter.models import ModelEntry

__all__ = ["Limits", "Measurement", "Row", "Samples", "Target"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One model on one hardware.

    Parameters
    ----------
    entry, hardware
        What runs, and on what.
    stages
        Names of the stages that run this model there.
    max_batch
        Largest batch size that any of them may use; None for no cap.
    """

    entry: ModelEntry
    hardware: Hardware
    stages: tuple[str, ...] = ()
    max_batch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When enough is measured, and when something is taken to hang.

    Parameters
    ----------
    precision
        Half width of the 95 % confidence interval of the mean, as a share of the mean, that is tight enough.
    tail_precision
        The same for the P99: half the width of its interval as a share of it.
    budget_s
        Seconds that one row may take at most, warm-up apart.
    load_timeout_s, batch_timeout_s
        Seconds after which a replica that does not register, or a batch that is not answered, counts as hanging.
    colocated
        Replicas that share the machine in the second measurement; 1 for none.
    seed
        Seed of the order of measurement and of the inputs drawn.
    """

    precision: float = 0.02
    tail_precision: float = 0.10
    budget_s: float = 10.0
    load_timeout_s: float = 300.0
    batch_timeout_s: float = 60.0
    colocated: int = 1
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of profiles.csv as far as it is measured; seconds unless the name says otherwise.

    Parameters
    ----------
    latency_*
        The model alone, one batch right after another one: mean with the half width of its 95 % interval, percentiles
        (nearest rank) with the interval of the P99 (NaN where the samples are too few), standard deviation.
    hop_*
        The same batch over the model-container RPC, from sending to the whole answer, after a pause as in serving.
    throughput_qps
        Batch size over mean latency.
    samples
        Batches counted, after the warm-up.
    load_s
        From starting the process to the first answer.
    stopped
        ``precise`` (both intervals tight enough), ``budget`` or ``unfinished``.
    measured_at
        UTC, ISO 8601 in whole seconds.
    source
        Id of the environment record.
    colocated, colocated_slowdown
        Replicas that shared the machine, and mean latency then over mean latency alone; None when not measured.
    """

    model: str
    hardware: str
    batch_size: int
    latency_mean_s: float
    latency_mean_ci_s: float
    latency_p50_s: float
    latency_p95_s: float
    latency_p99_s: float
    latency_p99_low_s: float
    latency_p99_high_s: float
    latency_std_s: float
    throughput_qps: float
    samples: int
    load_s: float
    hop_mean_s: float
    hop_p50_s: float
    hop_p95_s: float
    hop_p99_s: float
    stopped: str
    measured_at: str
    source: str
    colocated: int | None = None
    colocated_slowdown: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """Raw samples of one row, warm-up included.

    Parameters
    ----------
    at_s
        float64 (n,): when each batch was sent, seconds from the start of the replica.
    latency_s, hop_s
        float64 (n,): model alone, and over the RPC.
    counted
        bool (n,): False for the warm-up.
    """

    at_s: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    hop_s: NDArray[np.float64]
    counted: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measurement:
    """All of one target, so far or in the end.

    Parameters
    ----------
    target
        What is measured.
    rows
        By ascending batch size.
    samples
        Raw samples by batch size.
    ended
        Why no larger batch was tried: ``throughput`` (it stopped rising), ``memory``, ``max_batch``; empty while
        that is open.
    time_left_s
        Estimate of what is still to come; 0 in the end.
    finished
        Whether this is the end.
    environment
        The environment record, with its id under ``id``.
    """

    target: Target
    rows: tuple[Row, ...]
    samples: Mapping[int, Samples]
    ended: str = ""
    time_left_s: float = 0.0
    finished: bool = False
    environment: Mapping[str, Any] = field(default_factory=dict)
