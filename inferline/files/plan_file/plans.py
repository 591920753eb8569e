"""Writing plan.json, and reading it back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, TypeVar

from inferline.domain import (
    Configuration,
    Envelope,
    Pipeline,
    Plan,
    Prediction,
    Profile,
    Slo,
    StageConfiguration,
    StagePrediction,
)
from inferline.errors import Fault, InputError
from inferline.files.contents import read_bytes, utf8
from inferline.files.documents.fields import exact_percentile
from inferline.files.documents.json_document import parse_json
from inferline.files.documents.structure import check_structure
from inferline.files.faults import DocumentFaults
from inferline.files.limits import MAX_PLAN_BYTES
from inferline.files.pipeline_file.pipeline_structure import VERSION
from inferline.files.plan_file.plan_checks import check_profiled, check_stages
from inferline.files.plan_file.plan_structure import ConfigurationDocument, PlanDocument
from inferline.files.profile_file.profiles import Key
from inferline.units import NANO

__all__ = [
    "complete_plan_of",
    "configuration_of",
    "plan_document",
    "prediction_document",
    "read_configuration",
    "read_plan",
    "write_plan",
]

AnyPlan = TypeVar("AnyPlan", bound=ConfigurationDocument)


def write_plan(plan: Plan) -> str:
    """Return the text of plan.json; the same plan always gives the same bytes."""
    return json.dumps(plan_document(plan), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain mappings, lists and numbers, in the order they are written in."""
    percentile = plan.slo.percentile
    return {
        "version": VERSION,
        "pipeline": plan.pipeline,
        "status": plan.status,
        "cost_usd_per_hour": plan.cost_nano_usd_per_hour / NANO,
        "lower_bound_usd_per_hour": plan.lower_bound_nano_usd_per_hour / NANO,
        "gap": float(plan.gap),
        "planner": plan.planner,
        **({"survive": plan.survive} if plan.survive else {}),
        "slo": {
            "latency_s": plan.slo.latency_ns / NANO,
            "percentile": int(percentile) if percentile == int(percentile) else float(percentile),
        },
        "stages": {
            name: {
                "model": plan.models[name],
                "hardware": stage.hardware,
                "max_batch": int(stage.max_batch),
                "replicas": int(stage.replicas),
            }
            for name, stage in plan.configuration.items()
        },
        "predicted": prediction_document(plan.predicted),
        "envelope": {
            "window_s": [float(window) for window in plan.envelope.window_s],
            "max_queries": [int(queries) for queries in plan.envelope.max_queries],
        },
        "inputs": dict(plan.inputs),
    }


def prediction_document(prediction: Prediction) -> dict[str, Any]:
    """Return the ``predicted`` object of plan.json and of ``simulate --format json``."""
    return {
        "p50_s": float(prediction.p50_s),
        "p95_s": float(prediction.p95_s),
        "p99_s": float(prediction.p99_s),
        "at_slo_percentile_s": float(prediction.at_slo_percentile_s),
        "slo_attainment": float(prediction.slo_attainment),
        "queries": int(prediction.queries),
        "stages": {name: _stage_document(stage) for name, stage in prediction.stages.items()},
    }


def _stage_document(stage: StagePrediction) -> dict[str, float | int]:
    return {
        "utilisation": float(stage.utilisation),
        "mean_batch": float(stage.mean_batch),
        "wait_p99_s": float(stage.wait_p99_s),
        "service_p99_s": float(stage.service_p99_s),
        "visits": int(stage.visits),
        "wait_mean_s": float(stage.wait_mean_s),
        "service_mean_s": float(stage.service_mean_s),
        "budget_wait": float(stage.budget_wait),
        "budget_service": float(stage.budget_service),
    }


def read_plan(path: str | os.PathLike[str], pipeline: Pipeline) -> Plan:
    """Read a complete plan.

    Parameters
    ----------
    path
        The file; faults name it exactly as given.
    pipeline
        The pipeline that it is a plan for.

    Raises
    ------
    InputError
        With every fault: of the structure, and of what does not fit the pipeline.
    """
    return _plan(_checked(path, PlanDocument, pipeline, None), pipeline)


def complete_plan_of(
    document: Mapping[str, Any], name: str, pipeline: Pipeline, profiles: Mapping[Key, Profile] | None = None
) -> Plan:
    """Return a complete plan that was read before and has travelled as JSON; faults call it ``name``.

    Parameters
    ----------
    document, name
        The plan, and what it is called.
    pipeline
        The pipeline that it is a plan for.
    profiles
        Every profile by (model, hardware), to be checked against; None for none.

    Raises
    ------
    InputError
        With every fault.
    """
    return _plan(_checked_document(name, document, PlanDocument, pipeline, profiles), pipeline)


def _plan(checked: PlanDocument, pipeline: Pipeline) -> Plan:
    predicted = checked.predicted
    latency_s = checked.slo.latency_s
    return Plan(
        pipeline=checked.pipeline,
        status=checked.status,
        planner=checked.planner,
        survive=checked.survive,
        slo=Slo(latency_ns=_nano(latency_s), percentile=exact_percentile(checked.slo.percentile)),
        models={name: stage.model for name, stage in checked.stages.items()},
        configuration=_configuration(checked, pipeline),
        cost_nano_usd_per_hour=_nano(checked.cost_usd_per_hour),
        lower_bound_nano_usd_per_hour=_nano(checked.lower_bound_usd_per_hour),
        predicted=Prediction(
            p50_s=predicted.p50_s,
            p95_s=predicted.p95_s,
            p99_s=predicted.p99_s,
            at_slo_percentile_s=predicted.at_slo_percentile_s,
            slo_attainment=predicted.slo_attainment,
            queries=predicted.queries,
            slo_met=predicted.at_slo_percentile_s <= latency_s,
            stages={name: StagePrediction(**stage.model_dump()) for name, stage in predicted.stages.items()},
        ),
        envelope=Envelope(window_s=tuple(checked.envelope.window_s), max_queries=tuple(checked.envelope.max_queries)),
        inputs=dict(checked.inputs),
    )


def read_configuration(
    path: str | os.PathLike[str], pipeline: Pipeline, profiles: Mapping[Key, Profile]
) -> Configuration:
    """Read what a plan says to run; it needs ``version`` and ``stages`` only, so it can be written by hand.

    Parameters
    ----------
    path
        The file; faults name it exactly as given.
    pipeline
        The pipeline that it is a plan for.
    profiles
        Every profile by (model, hardware): a stage's maximum batch size is at most the largest profiled one.

    Raises
    ------
    InputError
        With every fault: of the structure, and of what does not fit the pipeline or the profiles.
    """
    return _configuration(_checked(path, ConfigurationDocument, pipeline, profiles), pipeline)


def configuration_of(document: Mapping[str, Any], name: str, pipeline: Pipeline) -> Configuration:
    """Return what a plan says to run that was read before and has travelled as JSON; faults call it ``name``.

    Raises
    ------
    InputError
        With every fault.
    """
    return _configuration(_checked_document(name, document, ConfigurationDocument, pipeline, None), pipeline)


def _checked(
    path: str | os.PathLike[str],
    model: type[AnyPlan],
    pipeline: Pipeline,
    profiles: Mapping[Key, Profile] | None,
) -> AnyPlan:
    file = os.fspath(path)
    document = parse_json(file, utf8(file, read_bytes(path, MAX_PLAN_BYTES)))
    return _checked_document(file, document, model, pipeline, profiles)


def _checked_document(
    file: str,
    document: object,
    model: type[AnyPlan],
    pipeline: Pipeline,
    profiles: Mapping[Key, Profile] | None,
) -> AnyPlan:
    faults = DocumentFaults(file, document)
    checked = check_structure(model, document, faults)
    if profiles is not None:
        check_profiled(document, pipeline, profiles, faults)
    check_stages(document, pipeline, faults)
    faults.raise_any()
    if checked is None:
        # A fault that nobody put into words must still not pass.
        raise InputError(Fault(file, "", "is not a plan"))
    return checked


def _configuration(document: ConfigurationDocument, pipeline: Pipeline) -> Configuration:
    """Return the configuration in the order of the pipeline's stages, whatever the order in the file."""
    stages = {stage.name: document.stages[stage.name] for stage in pipeline.stages}
    return Configuration(
        {
            name: StageConfiguration(hardware=stage.hardware, max_batch=stage.max_batch, replicas=stage.replicas)
            for name, stage in stages.items()
        }
    )


def _nano(value: float) -> int:
    """Return seconds in nanoseconds, or dollars in nano-dollars, of the decimal that the shortest text says."""
    return int((Decimal(str(value)) * NANO).to_integral_value(ROUND_HALF_EVEN))
