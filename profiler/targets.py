"""Which models are to be measured, and on which hardware: every pair that the chosen stages may use, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferline.domain import Hardware, Pipeline, Stage
from inferline.errors import Fault, InputError
from inferline.files.wording import listed, shown, suggestion
from profiler.results import Target
from serving_adapter.models import ModelEntry

__all__ = ["AtHand", "at_hand", "choose_stages", "choose_targets", "model_entries"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AtHand:
    """What of the targets can be measured on this machine.

    Parameters
    ----------
    targets
        Those that can.
    skipped
        Why the others cannot, by the name of their hardware.
    """

    targets: tuple[Target, ...]
    skipped: Mapping[str, str]


def model_entries(path: Path, models: Mapping[str, Mapping[str, Any]]) -> dict[str, ModelEntry]:
    """Return how to run each model that the pipeline file says it of."""
    return {name: ModelEntry.from_document(name, raw, path) for name, raw in models.items()}


def choose_stages(pipeline: Pipeline, names: Sequence[str]) -> tuple[Stage, ...]:
    """Return the stages of those names in topological order; all of them when no name is given.

    Raises
    ------
    InputError
        With every name that no stage has.
    """
    known = [stage.name for stage in pipeline.stages]
    if unknown := [name for name in dict.fromkeys(names) if name not in known]:
        raise InputError(*(Fault("--stage", "", f"no stage {_instead(name, known)}") for name in unknown))
    return tuple(stage for stage in pipeline.stages if not names or stage.name in names)


def choose_targets(
    path: Path,
    pipeline: Pipeline,
    entries: Mapping[str, ModelEntry],
    stages: Sequence[Stage],
    hardware: Sequence[str],
) -> tuple[Target, ...]:
    """Return each (model, hardware) that the stages may use, once, models in the order of the stages.

    Parameters
    ----------
    path
        The pipeline file, to name in faults.
    pipeline
        Stages and hardware.
    entries
        How to run each model, by its name.
    stages
        Those to be measured.
    hardware
        Names of the only hardware to measure on; empty for all that the stages allow.

    Raises
    ------
    InputError
        With every model without an entry, every unknown hardware, and every named hardware that no stage allows.
    """
    faults = _hardware_faults(pipeline, stages, hardware)
    models = dict.fromkeys(stage.model for stage in stages)
    faults += [
        Fault(str(path), f"models.{model}", "missing; profile needs to know how to run it")
        for model in models
        if model not in entries
    ]
    if faults:
        raise InputError(*faults)
    targets = []
    for model in models:
        users = [stage for stage in stages if stage.model == model]
        for unit in pipeline.hardware:
            here = [stage for stage in users if unit.name in stage.hardware]
            if here and (not hardware or unit.name in hardware):
                targets.append(_target(entries[model], unit, here))
    return tuple(targets)


def _target(entry: ModelEntry, unit: Hardware, stages: Sequence[Stage]) -> Target:
    caps = [stage.max_batch for stage in stages if stage.max_batch is not None]
    return Target(
        entry=entry,
        hardware=unit,
        stages=tuple(stage.name for stage in stages),
        max_batch=max(caps) if len(caps) == len(stages) else None,
    )


def _hardware_faults(pipeline: Pipeline, stages: Sequence[Stage], hardware: Sequence[str]) -> list[Fault]:
    known = [unit.name for unit in pipeline.hardware]
    allowed = {name for stage in stages for name in stage.hardware}
    faults = []
    for name in dict.fromkeys(hardware):
        if name not in known:
            faults.append(Fault("--hardware", "", f"no hardware {_instead(name, known)}"))
        elif name not in allowed:
            may_use = listed([each for each in known if each in allowed])
            faults.append(Fault("--hardware", "", f"{shown(name)} is not what the stages may use: {may_use}"))
    return faults


def _instead(name: str, known: Sequence[str]) -> str:
    return f"{shown(name)}{suggestion(name, known) or f'; declared: {listed(known)}'}"


def at_hand(
    targets: Sequence[Target], reason_not_here: Callable[[Hardware], str | None], named: Sequence[str]
) -> AtHand:
    """Leave out the targets whose hardware this machine has not.

    Parameters
    ----------
    targets
        Of `choose_targets`.
    reason_not_here
        Says why this machine has not that hardware, or None.
    named
        Hardware that was asked for by name: it is not left out without a word.

    Raises
    ------
    InputError
        When named hardware is not here, or no target is left.
    """
    hardware = {target.hardware.name: target.hardware for target in targets}
    reasons = {name: reason for name, unit in hardware.items() if (reason := reason_not_here(unit)) is not None}
    if faults := [Fault("--hardware", name, reasons[name]) for name in dict.fromkeys(named) if name in reasons]:
        raise InputError(*faults)
    if len(reasons) == len(hardware):
        why = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise InputError(f"none of the hardware that the stages may use is at hand: {why}")
    return AtHand(
        targets=tuple(target for target in targets if target.hardware.name not in reasons),
        skipped=reasons,
    )
