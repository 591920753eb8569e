"""The structure of pipeline.yaml: its keys, what they accept, and what they mean; also the source of the schema.

Each description completes the sentence "missing; give ...".
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from inferline.conditions import parse_condition
from inferline.domain.arrivals import GENERATORS
from inferline.domain.pipeline import DEFAULT_MAX_REPLICAS, MODEL_KINDS
from inferline.files.documents.fields import AboveZero, Cv2, Document, Duration, Name, Price, Rate, Seed, Share, Text
from inferline.files.limits import MAX_BATCH_SIZE, MAX_REPLICAS, MAX_UNITS
from inferline.files.pipeline_file.generators import GENERAL_KEYS, accepted_keys, required_keys
from inferline.files.wording import shown

__all__ = [
    "VERSION",
    "EdgeDocument",
    "GenerateDocument",
    "HardwareDocument",
    "ModelDocument",
    "PipelineDocument",
    "PlannerDocument",
    "ReplicasDocument",
    "SloDocument",
    "StageDocument",
    "Version",
    "WorkloadDocument",
]

VERSION = 1

_CALLABLE = r"^[^:\s]+:[^:\s]+$"


def _this_version(version: int) -> int:
    if version != VERSION:
        raise ValueError(f"{version} is not known; this InferLine reads version {VERSION}")
    return version


def _given(key: str) -> dict[str, Any]:
    """Return the schema of what has a key, with a value."""
    return {"required": [key], "properties": {key: {"not": {"type": "null"}}}}


def _as_list(value: object) -> object:
    """Let one value stand for a list of one; what is no text is then named as such."""
    return value if isinstance(value, list) else [value]


def _as_edge(value: object) -> object:
    """Let the name of a parent stand for an edge that is always taken."""
    return value if isinstance(value, dict | list) else {"stage": value}


def _callable(value: str) -> str:
    if not re.fullmatch(_CALLABLE, value):
        raise ValueError(f"{shown(value)} is not a Python callable; write it like package.module:function")
    return value


def _address(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError(f"{shown(value)} is not a URL; write it like http://localhost:8000/v2/models/ranker")
    return value


def _condition(value: str) -> str:
    parse_condition(value)  # its error says what is wrong; the pipeline keeps the text
    return value


Texts = Annotated[list[Text], Field(min_length=1)]
Callable = Annotated[Text, AfterValidator(_callable), WithJsonSchema({"type": "string", "pattern": _CALLABLE})]
Url = Annotated[Text, AfterValidator(_address), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
Version = Annotated[int, AfterValidator(_this_version), WithJsonSchema({"const": VERSION})]


class SloDocument(Document):
    """The latency objective."""

    latency: Duration = Field(description="the end-to-end latency to keep, like 300ms")
    percentile: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = Field(
        description="the percentile at which the latency is kept, above 0 and at most 100"
    )


class HardwareDocument(Document):
    """One kind of hardware unit; a replica occupies one unit."""

    price: Price = Field(description="the price of one unit, like $0.526/h")
    cpus: AboveZero = Field(default=1.0, description="the processor cores of a unit")
    accelerator: Name | None = Field(default=None, description="the kind of accelerator, like nvidia-k80")
    accelerators: Annotated[int, Field(ge=0, le=1024)] = Field(default=0, description="the accelerators in a unit")
    limit: Annotated[int, Field(ge=0, le=MAX_UNITS)] | None = Field(
        default=None, description="the most units that all stages together may use"
    )
    isolation: Literal["gvisor", "kata"] | None = Field(
        default=None, description="the sandbox that containers on it run in, where they run as containers"
    )


class EdgeDocument(Document):
    """The way from a parent stage into a stage."""

    stage: Name = Field(description="the parent stage")
    probability: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = Field(
        default=None,
        description="the probability that a query which visited the parent comes here; 1 when it is not given",
    )
    choice: Name | None = Field(
        default=None, description="a label; edges of one parent with the same label exclude each other"
    )
    when: Annotated[Text, AfterValidator(_condition)] | None = Field(
        default=None,
        description="a condition over the parent's output, decided at run time, like output.confidence < 0.6",
    )


class ReplicasDocument(Document):
    """Bounds on the replicas of a stage, both inclusive."""

    min: Annotated[int, Field(ge=1, le=MAX_REPLICAS)] = Field(default=1, description="the fewest replicas")
    max: Annotated[int, Field(ge=1, le=MAX_REPLICAS)] = Field(
        default=DEFAULT_MAX_REPLICAS, description="the most replicas"
    )


Parent = Annotated[EdgeDocument, BeforeValidator(_as_edge, json_schema_input_type=Name | EdgeDocument)]


class StageDocument(Document):
    """One model in the pipeline."""

    model: Name = Field(description="the model whose profile the stage uses")
    after: list[Parent] = Field(default=[], description="the parent stages; none for an entry, several for a join")
    hardware: Annotated[list[Name], Field(min_length=1)] | None = Field(
        default=None, description="the only hardware that the stage may use; all of it when this is not given"
    )
    max_batch: Annotated[int, Field(ge=1, le=MAX_BATCH_SIZE)] | None = Field(
        default=None, description="a cap on the maximum batch size"
    )
    replicas: ReplicasDocument = Field(default=ReplicasDocument(), description="bounds on the replicas")


def _parameters_of_generators(schema: dict[str, Any]) -> None:
    """Say in the schema which parameters each generator needs and takes."""
    parameters = schema["properties"].keys() - set(GENERAL_KEYS)
    schema["oneOf"] = [
        {
            "properties": {"arrivals": {"const": name}}
            | {key: {"type": "null"} for key in sorted(parameters - accepted_keys(name))},
            "allOf": [_given(key) for key in required_keys(name)],
        }
        for name in GENERATORS
    ]


class GenerateDocument(Document):
    """Arrivals drawn from a process."""

    model_config = ConfigDict(json_schema_extra=_parameters_of_generators)

    arrivals: Literal["gamma", "poisson", "markov", "ramp", "square", "even"] = Field(
        description="the arrival process: gamma, poisson, markov, ramp, square or even"
    )
    duration: Duration = Field(description="the length of the trace, like 10min")
    seed: Seed = Field(default=0, description="the seed of the draws")
    rate: Rate | None = Field(default=None, description="the mean queries per second")
    cv2: Cv2 | None = Field(default=None, description="the variance of the gaps over their squared mean")
    rates: Annotated[list[Rate], Field(min_length=1)] | None = Field(
        default=None, description="the queries per second of each state, like [50, 400]"
    )
    stays: Annotated[list[Duration], Field(min_length=1)] | None = Field(
        default=None, description="the mean stay in each state, like [30s, 5s]"
    )
    start_rate: Rate | None = Field(default=None, description="the queries per second at the start")
    end_rate: Rate | None = Field(default=None, description="the queries per second at the end")
    low_rate: Rate | None = Field(default=None, description="the queries per second of the calm part")
    high_rate: Rate | None = Field(default=None, description="the queries per second of the busy part")
    period: Duration | None = Field(default=None, description="the length of a calm and a busy part together")
    duty: Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)] | None = Field(
        default=None, description="the share of each period that is busy"
    )


class WorkloadDocument(Document):
    """The traffic that is planned for."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [_given("trace"), _given("generate")],
            "not": {"allOf": [_given("peak"), _given("scale")]},
        }
    )

    trace: Text | None = Field(default=None, description="the file of arrivals, relative to this file")
    generate: GenerateDocument | None = Field(default=None, description="an arrival process, instead of a trace")
    peak: AboveZero | None = Field(default=None, description="the queries in the busiest second after scaling")
    scale: AboveZero | None = Field(default=None, description="the factor by which the traffic is scaled")
    sample: Share = Field(default=1.0, description="the first part of the duration that is planned from, like 25%")
    spread: Literal["poisson", "gamma", "even"] = Field(
        default="poisson", description="how the queries of a per-second trace are spread in each second"
    )
    cv2: Cv2 | None = Field(default=None, description="the variance of the gaps for spread: gamma; 4 by default")
    seed: Seed = Field(default=0, description="the seed of the spreading")


class ModelDocument(Document):
    """How to run a model."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"oneOf": [_given(kind) for kind in MODEL_KINDS]})

    callable: Callable | None = Field(
        default=None,
        description="a Python callable from a list of inputs to a list of outputs, like package.module:f",
    )
    pytorch: Callable | None = Field(
        default=None, description="a Python callable that makes a PyTorch module, like package.module:make"
    )
    onnx: Text | None = Field(default=None, description="an ONNX file")
    sklearn: Text | None = Field(default=None, description="a file with a pickled scikit-learn estimator")
    directory: Text | None = Field(default=None, description="a model directory as Clipper's deployers write it")
    container: Text | None = Field(default=None, description="the image of a Clipper model container")
    http: Url | None = Field(default=None, description="the URL of an Open Inference Protocol v2 model")
    device: Text = Field(default="auto", description="the device to run on: auto, cpu, cuda, cuda:1")
    input_type: Literal["bytes", "integers", "floats", "doubles", "strings"] | None = Field(
        default=None, description="the type of one input"
    )
    sample: Text | None = Field(default=None, description="a file of inputs to profile with, as JSON lines")


class PlannerDocument(Document):
    """What the planner plans with."""

    service_time: Literal["mean", "p50", "p95", "p99", "hop_mean", "hop_p50", "hop_p95", "hop_p99"] = Field(
        default="mean",
        description="the profile column that is planned with: of the model alone, or with its hop there and back",
    )


class PipelineDocument(Document):
    """A pipeline of models, the hardware it may use, its latency objective and its traffic."""

    version: Version = Field(description=f"the version of this format, {VERSION}")
    name: Name = Field(description="the name of the pipeline")
    slo: SloDocument = Field(description="the latency objective, like {latency: 300ms, percentile: 99}")
    profiles: Annotated[Texts, BeforeValidator(_as_list, json_schema_input_type=Text | Texts)] = Field(
        description="the profile file, or a list of them, relative to this file"
    )
    hardware: Annotated[dict[Name, HardwareDocument], Field(min_length=1)] = Field(
        description="the hardware that a replica may run on, by name"
    )
    stages: Annotated[dict[Name, StageDocument], Field(min_length=1)] = Field(description="the stages, by name")
    workload: WorkloadDocument = Field(description="the traffic, like {trace: trace.csv.gz}")
    models: dict[Name, ModelDocument] = Field(default={}, description="how to run each model")
    seed: Seed = Field(default=0, description="the seed of the routes of conditional branches")
    planner: PlannerDocument = Field(default=PlannerDocument(), description="what the planner plans with")
