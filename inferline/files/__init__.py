"""Files in and out: pipeline.yaml, profiles, traces, plan.json. Every fault is named, all of them in one go.

The names are handed on lazily (PEP 562): reading a trace need not wait for what checks a pipeline file.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inferline.files.inputs import Inputs, load
    from inferline.files.pipeline_file.pipeline import PipelineFile, pipeline_of, read_pipeline, schema
    from inferline.files.pipeline_file.workload import Generate, Workload
    from inferline.files.plan_file.plans import (
        complete_plan_of,
        configuration_of,
        plan_document,
        prediction_document,
        read_configuration,
        read_plan,
        write_plan,
    )
    from inferline.files.profile_file.profiles import ProfileTable, read_profile_table, read_profiles, write_profiles
    from inferline.files.trace_file.traces import read_trace

__all__ = [
    "Generate",
    "Inputs",
    "PipelineFile",
    "ProfileTable",
    "Workload",
    "complete_plan_of",
    "configuration_of",
    "load",
    "pipeline_of",
    "plan_document",
    "prediction_document",
    "read_configuration",
    "read_pipeline",
    "read_plan",
    "read_profile_table",
    "read_profiles",
    "read_trace",
    "schema",
    "write_plan",
    "write_profiles",
]

_HOME = {
    "inputs": ("Inputs", "load"),
    "pipeline_file.pipeline": ("PipelineFile", "pipeline_of", "read_pipeline", "schema"),
    "plan_file.plans": (
        "complete_plan_of",
        "configuration_of",
        "plan_document",
        "prediction_document",
        "read_configuration",
        "read_plan",
        "write_plan",
    ),
    "profile_file.profiles": ("ProfileTable", "read_profile_table", "read_profiles", "write_profiles"),
    "trace_file.traces": ("read_trace",),
    "pipeline_file.workload": ("Generate", "Workload"),
}
_MODULE = {name: f"{__name__}.{module}" for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the public name is
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
