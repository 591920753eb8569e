"""A plan: a configuration with its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inferline.domain.configuration import Configuration
from inferline.domain.slo import Slo

__all__ = ["Envelope", "Plan", "Prediction", "StagePrediction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePrediction:
    """What the simulator expects of one stage.

    Parameters
    ----------
    utilisation
        Busy time over replicas x the time from the first arrival to the last completion, in [0, 1].
    mean_batch
        Visits over batches; 0 when the stage is never visited.
    wait_p99_s, service_p99_s
        Nearest-rank P99 over the visits of the stage; 0 when it is never visited.
    wait_mean_s, service_mean_s
        Means over the visits; 0 when it is never visited.
    budget_wait, budget_service
        Shares of the SLO latency that the slowest queries (at and beyond the SLO percentile) spend waiting and in
        service at this stage, on average, counted along each query's critical path.
    visits
        Queries that visit the stage.
    """

    utilisation: float
    mean_batch: float
    wait_p99_s: float
    service_p99_s: float
    wait_mean_s: float
    service_mean_s: float
    budget_wait: float
    budget_service: float
    visits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What the simulator expects of a configuration on a trace.

    Parameters
    ----------
    p50_s, p95_s, p99_s, at_slo_percentile_s
        Nearest-rank percentiles of the end-to-end latency.
    slo_attainment
        Share of the queries with a latency of at most the SLO's.
    queries
        Queries simulated.
    slo_met
        Whether the latency at the SLO's percentile is at most the SLO's latency.
    stages
        Per stage, in topological order.
    """

    p50_s: float
    p95_s: float
    p99_s: float
    at_slo_percentile_s: float
    slo_attainment: float
    queries: int
    slo_met: bool
    stages: Mapping[str, StagePrediction]

    @property
    def miss_rate(self) -> float:
        """Share of the queries that are late."""
        return 1.0 - self.slo_attainment


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """The traffic envelope: most queries in any window of each length.

    Parameters
    ----------
    window_s
        Window lengths, ascending.
    max_queries
        Most arrivals in any half-open window of that length.
    """

    window_s: tuple[float, ...]
    max_queries: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A configuration, how good it is, and what it was made from.

    Parameters
    ----------
    pipeline
        Name of the pipeline.
    status
        ``optimal``: proved that nothing cheaper in the declared space meets the SLO on this trace;
        ``feasible``: meets it, and ``lower_bound_nano_usd_per_hour`` says how far from proved.
    planner
        Which planner found it.
    slo
        What it was planned for.
    models
        Model of each stage.
    configuration
        Hardware, maximum batch size and replicas of each stage.
    cost_nano_usd_per_hour, lower_bound_nano_usd_per_hour
        Cost, and a cost that no configuration meeting the SLO can go below.
    predicted
        What the simulator expects.
    envelope
        Traffic envelope of the trace that was planned from.
    survive
        The SLO also holds with this many replicas of any one stage gone.
    inputs
        SHA-256 of the files that went in, by ``pipeline_sha256``, ``profiles_sha256``, ``trace_sha256``.
    """

    pipeline: str
    status: str
    planner: str
    slo: Slo
    models: Mapping[str, str]
    configuration: Configuration
    cost_nano_usd_per_hour: int
    lower_bound_nano_usd_per_hour: int
    predicted: Prediction
    envelope: Envelope
    inputs: Mapping[str, str]
    survive: int = 0

    @property
    def gap(self) -> float:
        """(cost - lower bound) / cost; 0 for a plan that costs nothing."""
        if self.cost_nano_usd_per_hour == 0:
            return 0.0
        return (self.cost_nano_usd_per_hour - self.lower_bound_nano_usd_per_hour) / self.cost_nano_usd_per_hour
