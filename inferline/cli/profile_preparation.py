"""What ``inferline profile`` does before it measures: choose, look at the machine, find inputs, walk the samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inferline.cli.profile_progress import Board
from inferline.domain import Pipeline, Stage
from inferline.errors import Fault, InputError, OutsideError
from inferline.files import read_profiles
from inferline.files.faults import attempt
from inferline.files.pipeline_file.pipeline import PipelineDraft, draft_pipeline
from inferline.files.wording import listed, shown
from profiler.environment import environment_of
from profiler.inputs import Inputs, frames_of, own_inputs
from profiler.record import Record
from profiler.replica import start_replica
from profiler.results import Limits, Target
from profiler.targets import at_hand, choose_stages, choose_targets, model_entries
from profiler.walk import EdgeEstimate, Route, Walked, conditions_of, route, walk
from serving_adapter.machine import Machine, placements, reason_not_here, this_machine
from serving_adapter.models import ModelEntry

__all__ = ["Asked", "Prepared", "prepare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of ``inferline profile``."""

    pipeline: Path
    stages: tuple[str, ...]
    hardware: tuple[str, ...]
    out: Path | None
    resume: bool
    samples: int
    limits: Limits


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """Everything that measuring needs.

    Parameters
    ----------
    name
        Of the pipeline.
    targets
        What is to be measured.
    frames
        Inputs of each target, by (model, hardware).
    finished
        What an earlier run has measured.
    done
        Batch sizes that an earlier run has measured, by (model, hardware).
    machine, record
        Where it is measured, and where it is written.
    edges
        How often conditions held.
    stated
        The probability in the file of each edge that has one there, by (parent, child).
    skipped
        Why hardware is not measured on, by its name.
    started
        Names of the models that have run already, and so can be run.
    failures
        Why targets cannot be measured although their entries are right.
    """

    name: str
    targets: tuple[Target, ...]
    frames: Mapping[tuple[str, str], Sequence[bytes]]
    finished: tuple[Target, ...]
    done: Mapping[tuple[str, str], frozenset[int]]
    machine: Machine
    record: Record
    edges: tuple[EdgeEstimate, ...]
    stated: Mapping[tuple[str, str], float]
    skipped: Mapping[str, str]
    started: frozenset[str]
    failures: tuple[str, ...]


def prepare(asked: Asked, board: Board) -> Prepared:
    """Choose what is measured, and find or make the inputs.

    Parameters
    ----------
    asked
        The options.
    board
        Told what is going on.

    Raises
    ------
    InputError
        With what is wrong with files, names or entries.
    """
    board.tell(f"reading {asked.pipeline}")
    draft = draft_pipeline(asked.pipeline)
    file = draft.finished()
    pipeline, entries = file.pipeline, model_entries(asked.pipeline, file.models)
    stages = choose_stages(pipeline, asked.stages)
    machine = this_machine()
    here = partial(reason_not_here, machine)
    chosen = at_hand(choose_targets(asked.pipeline, pipeline, entries, stages, asked.hardware), here, asked.hardware)
    for name, reason in chosen.skipped.items():
        board.say(f"{name} is skipped: {reason}")
    record = Record(asked.out or file.profile_paths[0], board.say)
    _warn_of_others(record.out, file.profile_paths, chosen.targets, board)
    open_targets, finished, done = _resumed(asked, chosen.targets, machine, record)
    for target in finished:
        board.say(f"{target.entry.name} on {target.hardware.name} is measured already")
    names = {name for target in open_targets for name in target.stages}
    way = route(pipeline, names, {stage.name for stage in pipeline.stages if _has_sample(stage, entries)})
    _check_run(asked.pipeline, pipeline, entries, way, machine, names)
    sources = _sources(pipeline, entries, way, asked)
    failures: list[str] = []
    try:
        walked = _walk(asked, pipeline, entries, way, sources, machine, board)
    except OutsideError as error:
        walked = Walked(inputs={name: sources[name].values for name in way.fed}, edges=())
        failures.append(f"walking sample inputs through the pipeline: {error}")
    frames = _frames(asked, open_targets, walked, failures)
    return Prepared(
        name=pipeline.name,
        targets=tuple(target for target in open_targets if _key(target) in frames),
        frames=frames,
        finished=finished,
        done=done,
        machine=machine,
        record=record,
        edges=walked.edges,
        stated=_stated(draft),
        skipped=chosen.skipped,
        started=frozenset() if failures else frozenset(pipeline.stage(name).model for name in way.run),
        failures=tuple(failures),
    )


def _key(target: Target) -> tuple[str, str]:
    return target.entry.name, target.hardware.name


def _has_sample(stage: Stage, entries: Mapping[str, ModelEntry]) -> bool:
    return stage.model in entries and entries[stage.model].sample is not None


def _stated(draft: PipelineDraft) -> dict[tuple[str, str], float]:
    return {
        (edge.parent, stage.name): float(edge.raw["probability"])
        for stage in draft.outline.stages.values()
        for edge in stage.edges
        if edge.raw.get("probability") is not None
    }


def _warn_of_others(out: Path, paths: Sequence[Path], targets: Sequence[Target], board: Board) -> None:
    """Say when another profile file of the pipeline has rows of what is measured: planning reads them together."""
    others = [path for path in paths if path != out and path.exists()] if out in paths else []
    for path in others:
        profiles = read_profiles(path)
        for model, hardware in [_key(target) for target in targets if _key(target) in profiles]:
            board.say(f"{path} has rows of {model} on {hardware}, too; a batch size may stand in one file only")


def _resumed(
    asked: Asked, targets: Sequence[Target], machine: Machine, record: Record
) -> tuple[tuple[Target, ...], tuple[Target, ...], dict[tuple[str, str], frozenset[int]]]:
    """Return what is left to measure, what is finished, and the batch sizes that are done of the former."""
    if not asked.resume:
        return tuple(targets), (), {}
    left: list[Target] = []
    finished: list[Target] = []
    done = {}
    for target in targets:
        environment = environment_of(machine, placements(machine, target.hardware)[0])
        known = record.done(target, str(environment["id"]), asked.limits.colocated)
        if known.finished:
            finished.append(target)
            continue
        left.append(target)
        if known.sizes:
            done[_key(target)] = known.sizes
            record.resume(target, str(environment["id"]))
    return tuple(left), tuple(finished), done


def _check_run(
    path: Path,
    pipeline: Pipeline,
    entries: Mapping[str, ModelEntry],
    way: Route,
    machine: Machine,
    names: set[str],
) -> None:
    """Check that every stage whose outputs are needed can be run here."""
    faults = []
    for name in way.run:
        stage = pipeline.stage(name)
        behind = listed(sorted(names - {name}))
        if stage.model not in entries:
            message = f"missing; the outputs of stage {shown(name)} are needed to profile {behind} (or sample: there)"
            faults.append(Fault(str(path), f"models.{stage.model}", message))
        elif _first_unit(pipeline, stage, machine) is None:
            message = (
                f"none of its hardware is at hand, and its outputs are needed to profile {behind} (or sample: there)"
            )
            faults.append(Fault(str(path), f"stages.{name}", message))
    if faults:
        raise InputError(*faults)


def _first_unit(pipeline: Pipeline, stage: Stage, machine: Machine) -> str | None:
    return next((name for name in stage.hardware if reason_not_here(machine, pipeline.unit(name)) is None), None)


def _sources(pipeline: Pipeline, entries: Mapping[str, ModelEntry], way: Route, asked: Asked) -> dict[str, Inputs]:
    """Return the inputs of the stages that are fed from outside; stages with one model share them."""
    faults: list[Fault] = []
    by_model: dict[str, Inputs | None] = {}
    for name in way.fed:
        model = pipeline.stage(name).model
        if model not in entries:
            message = "missing; profile needs to know how to run it"
            faults.append(Fault(str(asked.pipeline), f"models.{model}", message))
        elif model not in by_model:
            by_model[model] = attempt(faults, partial(own_inputs, entries[model], asked.samples, asked.limits.seed))
    if faults:
        raise InputError(*dict.fromkeys(faults))
    found = {name: by_model[pipeline.stage(name).model] for name in way.fed}
    return {name: inputs for name, inputs in found.items() if inputs is not None}


def _walk(
    asked: Asked,
    pipeline: Pipeline,
    entries: Mapping[str, ModelEntry],
    way: Route,
    sources: Mapping[str, Inputs],
    machine: Machine,
    board: Board,
) -> Walked:
    def answer(stage: Stage, frames: Sequence[bytes]) -> list[bytes]:
        board.tell(f"running {len(frames)} samples through {stage.name}")
        unit = pipeline.unit(_first_unit(pipeline, stage, machine) or stage.hardware[0])
        placement = placements(machine, unit)[0]
        outputs: list[bytes] = []
        with start_replica(entries[stage.model], placement, asked.limits, frames[:1], board.say) as replica:
            for frame in frames:
                outputs += replica.predict([frame]).outputs
        return outputs

    return walk(
        str(asked.pipeline),
        pipeline,
        entries,
        way,
        sources,
        conditions_of(pipeline),
        answer,
        samples=asked.samples,
        seed=asked.limits.seed,
    )


def _frames(
    asked: Asked, targets: Sequence[Target], walked: Walked, failures: list[str]
) -> dict[tuple[str, str], list[bytes]]:
    """Return the inputs of each target; a stage that nothing reached is a fault, unless the walk came to no end."""
    faults: dict[Fault, None] = {}
    frames: dict[tuple[str, str], list[bytes]] = {}
    for target in targets:
        # Stages that are fed the same inputs give them once.
        given = {id(walked.inputs.get(name)): walked.inputs.get(name) or () for name in target.stages}
        values = [value for of in given.values() for value in of]
        if values:
            stages = "its stage" if len(target.stages) == 1 else "one of its stages"
            frames[_key(target)] = frames_of(target.entry, values, f"{stages} is handed something else")
        elif failures:
            failures.append(f"model {target.entry.name!r} on {target.hardware.name!r}: there are no inputs for it")
        else:
            names = listed(target.stages)
            message = f"no sample reaches {names}; give it sample:, or more --samples than {asked.samples}"
            faults[Fault(str(asked.pipeline), f"models.{target.entry.name}.sample", message)] = None
    if faults:
        raise InputError(*faults)
    return frames
