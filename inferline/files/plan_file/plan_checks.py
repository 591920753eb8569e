"""Whether the stages of a plan document fit the pipeline and the profiles; runs on the raw document."""

from __future__ import annotations

from collections.abc import Mapping

from inferline.domain import Pipeline, Profile, Stage
from inferline.files.faults import DocumentFaults
from inferline.files.pipeline_file.outline import as_mapping, as_whole
from inferline.files.profile_file.profiles import Key
from inferline.files.wording import listed, shown, suggestion

__all__ = ["check_profiled", "check_stages"]


def check_stages(document: object, pipeline: Pipeline, faults: DocumentFaults) -> None:
    """Check that a plan is for this pipeline: its name, exactly its stages, their models, hardware they may use."""
    whole = as_mapping(document)
    name = whole.get("pipeline")
    if isinstance(name, str) and name != pipeline.name:
        faults.add(("pipeline",), f"the plan is for {shown(name)}; this pipeline is {shown(pipeline.name)}")
    if not isinstance(whole.get("stages"), Mapping):
        return
    raw = as_mapping(whole["stages"])
    known = {stage.name: stage for stage in pipeline.stages}
    for each, values in raw.items():
        if each in known:
            _check_stage(known[each], as_mapping(values), pipeline, faults)
        else:
            near = suggestion(each, known) or f"; its stages: {listed(known)}"
            faults.add(("stages", each), f"the pipeline has no stage {shown(each)}{near}")
    for each in known:
        if each not in raw:
            faults.add(("stages", each), "missing; a plan says what every stage of the pipeline runs with")


def _check_stage(stage: Stage, raw: Mapping[str, object], pipeline: Pipeline, faults: DocumentFaults) -> None:
    path = ("stages", stage.name)
    model, hardware = raw.get("model"), raw.get("hardware")
    if isinstance(model, str) and model != stage.model:
        faults.add((*path, "model"), f"the plan runs {shown(model)}; the pipeline file says {shown(stage.model)}")
    if not isinstance(hardware, str) or hardware in stage.hardware or faults.within(*path, "hardware"):
        return
    declared = [unit.name for unit in pipeline.hardware]
    if hardware in declared:
        message = f"stage {shown(stage.name)} may not run on {shown(hardware)}; allowed: {listed(stage.hardware)}"
    else:
        near = suggestion(hardware, declared) or f"; declared: {listed(declared)}"
        message = f"no hardware {shown(hardware)}{near}"
    faults.add((*path, "hardware"), message)


def check_profiled(
    document: object, pipeline: Pipeline, profiles: Mapping[Key, Profile], faults: DocumentFaults
) -> None:
    """Check that every stage's model has a profile on its hardware, up to its maximum batch size, within its cap."""
    stages = as_mapping(as_mapping(document).get("stages"))
    declared = {unit.name for unit in pipeline.hardware}
    for stage in pipeline.stages:
        raw = as_mapping(stages.get(stage.name))
        hardware, max_batch = raw.get("hardware"), as_whole(raw.get("max_batch"))
        if not isinstance(hardware, str) or hardware not in declared:
            continue
        profile = profiles.get((stage.model, hardware))
        if profile is None:
            profiled = [on for of, on in profiles if of == stage.model]
            message = f"no profile of model {shown(stage.model)} on {shown(hardware)}; profiled on {listed(profiled)}"
            faults.add(("stages", stage.name, "hardware"), message)
        elif max_batch is not None and max_batch > (largest := _largest(profile, stage.max_batch)):
            message = f"{max_batch} is above {largest}, the largest profiled batch size of model {shown(stage.model)}"
            message += f" on {shown(hardware)}"
            if stage.max_batch is not None:
                message += f" within the stage's cap of {stage.max_batch}"
            faults.add(("stages", stage.name, "max_batch"), message)


def _largest(profile: Profile, cap: int | None) -> int:
    """Return the largest profiled batch size within the cap, or 0."""
    return max((int(size) for size in profile.batch_size if cap is None or size <= cap), default=0)
