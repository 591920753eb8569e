"""Whether the profiles say enough about the stages of a pipeline file: its declared space must not be empty."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from inferline.domain import SERVICE_TIMES, Pipeline, Profile, Stage
from inferline.files.faults import DocumentFaults
from inferline.files.pipeline_file.outline import Outline, StageOutline, as_mapping
from inferline.files.profile_file.profiles import Key
from inferline.files.wording import either, listed, shown, suggestion

__all__ = ["check_conditions", "check_coverage", "declared_space"]


def check_coverage(outline: Outline, profiles: Mapping[Key, Profile], faults: DocumentFaults) -> None:
    """Check that every stage has hardware with a profile, and that the profiles say what is planned with.

    Parameters
    ----------
    outline
        The stages and hardware of the raw document, as far as they can be read.
    profiles
        Every profile by (model, hardware).
    faults
        Where the findings go.
    """
    service_time = as_mapping(outline.document.get("planner")).get("service_time", "mean")
    hardware_of: dict[str, list[str]] = defaultdict(list)
    for model, hardware in profiles:
        hardware_of[model].append(hardware)
    for stage in outline.stages.values():
        if stage.model is None:
            continue
        profiled = hardware_of.get(stage.model, [])
        if not profiled:
            near = suggestion(stage.model, hardware_of) or f"; profiled: {listed(hardware_of)}"
            faults.add((*stage.path, "model"), f"no profile of model {shown(stage.model)}{near}")
            continue
        _check_hardware(stage, outline, profiled, faults)
        allowed = [profiles[stage.model, name] for name in outline.allowed(stage) if name in profiled]
        _check_batches(stage, allowed, faults)
        if isinstance(service_time, str) and service_time in SERVICE_TIMES:
            _check_column(service_time, [each for each in allowed if _fits(each, stage.max_batch)], faults)


def _check_hardware(stage: StageOutline, outline: Outline, profiled: list[str], faults: DocumentFaults) -> None:
    if stage.hardware is None:
        if not set(profiled).intersection(outline.hardware):
            declared, there = listed(outline.hardware), listed(profiled)
            message = f"no profile of model {shown(stage.model)} on {declared}; profiled on {there}"
            faults.add((*stage.path, "model"), message)
        return
    for path, name in stage.hardware:
        if name in outline.hardware and name not in profiled:
            message = f"no profile of model {shown(stage.model)} on {shown(name)}; profiled on {listed(profiled)}"
            faults.add(path, message)


def _fits(profile: Profile, max_batch: int | None) -> bool:
    """Whether some profiled batch size is within the cap."""
    return max_batch is None or int(profile.batch_size[0]) <= max_batch


def _check_batches(stage: StageOutline, allowed: list[Profile], faults: DocumentFaults) -> None:
    if stage.max_batch is None or stage.max_batch < 1 or not allowed:
        return
    if not any(_fits(profile, stage.max_batch) for profile in allowed):
        smallest = either([f"{profile.batch_size[0]} on {shown(profile.hardware)}" for profile in allowed], "and")
        message = f"{stage.max_batch} is below every profiled batch size of model {shown(stage.model)}"
        faults.add((*stage.path, "max_batch"), f"{message}; the smallest is {smallest}")


def _check_column(service_time: str, used: list[Profile], faults: DocumentFaults) -> None:
    for profile in used:
        gaps = [
            int(size)
            for size, latency in zip(profile.batch_size, profile.latency_s(service_time), strict=True)
            if not latency > 0
        ]
        if gaps:
            which = f"model {shown(profile.model)} on {shown(profile.hardware)}, batch size {either(gaps, 'and')}"
            faults.add(("planner", "service_time"), f"{service_time} needs {SERVICE_TIMES[service_time]} of {which}")


def check_conditions(outline: Outline, faults: DocumentFaults) -> None:
    """Check that every edge with a condition has a probability to plan with."""
    for stage in outline.stages.values():
        for edge in stage.edges:
            if edge.raw.get("when") is not None and edge.raw.get("probability") is None:
                message = "missing; a condition needs its probability to plan with (profiling estimates it)"
                faults.add((*edge.item, "probability"), message)


def declared_space(pipeline: Pipeline, profiles: Mapping[Key, Profile]) -> Pipeline:
    """Return the pipeline with each stage allowed only the hardware on which it has a configuration."""

    def narrowed(stage: Stage) -> Stage:
        able = (name for name in stage.hardware if (stage.model, name) in profiles)
        return replace(
            stage, hardware=tuple(name for name in able if _fits(profiles[stage.model, name], stage.max_batch))
        )

    return Pipeline(
        name=pipeline.name,
        slo=pipeline.slo,
        stages=tuple(narrowed(stage) for stage in pipeline.stages),
        hardware=pipeline.hardware,
        seed=pipeline.seed,
        service_time=pipeline.service_time,
    )
