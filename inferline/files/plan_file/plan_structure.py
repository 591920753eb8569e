"""The structure of plan.json, as much of it as is read back; keys that later versions add are left alone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from inferline.files.documents.fields import Document, Name, Text
from inferline.files.limits import MAX_BATCH_SIZE, MAX_REPLICAS
from inferline.files.pipeline_file.pipeline_structure import Version

__all__ = [
    "ConfigurationDocument",
    "EnvelopeDocument",
    "PlanDocument",
    "PlannedStageDocument",
    "PredictedDocument",
    "PredictedStageDocument",
]

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=2**62 / 1e9, allow_inf_nan=False)]
Dollars = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Ratio = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class Lenient(Document):
    """A part that later versions may add keys to."""

    model_config = ConfigDict(extra="ignore")


class PlannedStageDocument(Document):
    """What one stage runs with; people edit this, so a misspelt key is a fault."""

    model: Name = Field(description="the model of the stage")
    hardware: Name = Field(description="the hardware of every replica")
    max_batch: Annotated[int, Field(ge=1, le=MAX_BATCH_SIZE)] = Field(description="the maximum batch size")
    replicas: Annotated[int, Field(ge=1, le=MAX_REPLICAS)] = Field(description="the number of replicas")


class ConfigurationDocument(Lenient):
    """The part of a plan that says what runs."""

    version: Version = Field(description="the version of this format, 1")
    stages: Annotated[dict[Name, PlannedStageDocument], Field(min_length=1)] = Field(
        description="what each stage runs with, by name"
    )


class PlannedSloDocument(Lenient):
    """What was planned for."""

    latency_s: Annotated[Seconds, Field(gt=0)] = Field(description="the end-to-end latency in seconds")
    percentile: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = Field(
        description="the percentile, above 0 and at most 100"
    )


class PredictedStageDocument(Lenient):
    """What the simulator expected of one stage."""

    utilisation: Ratio = Field(description="the busy share, in [0, 1]")
    mean_batch: NotNegative = Field(description="the mean batch size")
    wait_p99_s: Seconds = Field(description="the P99 of the waiting time in seconds")
    service_p99_s: Seconds = Field(description="the P99 of the service time in seconds")
    visits: Count = Field(description="the queries that visit the stage")
    wait_mean_s: Seconds = Field(description="the mean waiting time in seconds")
    service_mean_s: Seconds = Field(description="the mean service time in seconds")
    budget_wait: NotNegative = Field(description="the share of the SLO latency that goes into waiting")
    budget_service: NotNegative = Field(description="the share of the SLO latency that goes into service")


class PredictedDocument(Lenient):
    """What the simulator expected of the plan."""

    p50_s: Seconds = Field(description="the P50 of the latency in seconds")
    p95_s: Seconds = Field(description="the P95 of the latency in seconds")
    p99_s: Seconds = Field(description="the P99 of the latency in seconds")
    at_slo_percentile_s: Seconds = Field(description="the latency at the SLO's percentile in seconds")
    slo_attainment: Ratio = Field(description="the share of queries within the SLO's latency")
    queries: Count = Field(description="the queries simulated")
    stages: dict[Name, PredictedStageDocument] = Field(description="the prediction of each stage")


class EnvelopeDocument(Lenient):
    """The traffic envelope of the trace that was planned from."""

    window_s: list[Seconds] = Field(description="the lengths of the windows in seconds")
    max_queries: list[Count] = Field(description="the most queries in any window of each length")


class PlanDocument(ConfigurationDocument):
    """A complete plan."""

    pipeline: Name = Field(description="the name of the pipeline")
    status: Literal["optimal", "feasible"] = Field(description="optimal or feasible")
    cost_usd_per_hour: Dollars = Field(description="the cost in dollars per hour")
    lower_bound_usd_per_hour: Dollars = Field(description="a cost that no configuration can go below")
    planner: Name = Field(description="the planner that found it")
    survive: Count = Field(0, description="replicas of any one stage that may be gone")
    slo: PlannedSloDocument = Field(description="what was planned for")
    predicted: PredictedDocument = Field(description="what the simulator expects")
    envelope: EnvelopeDocument = Field(description="the traffic envelope")
    inputs: dict[Name, Text] = Field(description="the digests of the inputs")
