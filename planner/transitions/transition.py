"""From one configuration to another: the steps of the transition, and what is paid while each of them runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from inferline.domain import Configuration, Pipeline
from planner.problem import Problem
from planner.transitions.transition_order import ADD, BATCH, REMOVE, SWITCH, Move, order_moves

__all__ = ["ADD", "BATCH", "REMOVE", "SWITCH", "BatchPlace", "Transition", "TransitionStep", "plan_transition"]

BatchPlace = Literal["first", "between", "last"]
"""Where a change of batch size stands: before everything; after the first additions, before anything is switched or
taken away; after everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionStep:
    """One step of a transition: one change of one stage.

    Parameters
    ----------
    kind
        ``add``: replicas are started; they are ready after the activation delay.
        ``batch``: the maximum batch size changes.
        ``switch``: the replicas on the stage's new hardware, which stand by, take over its queue, with their own
        maximum batch size.
        ``remove``: replicas finish their batch and are taken away.
    stage
        The stage that changes.
    from_hardware, hardware
        Hardware before and after; they differ for a switch only.
    from_replicas, replicas
        Replicas of the stage on that hardware before and after. For a switch: those that served, those that serve.
    from_batch, max_batch
        Maximum batch size before and after.
    serving
        Whether these replicas serve the stage after the step. If not, they stand by for a switch, or come from one.
    forced
        Whether a hardware limit forced capacity to be taken away before all that is to be added is there.
    cost_nano_usd_per_hour
        What all replicas of the pipeline cost together from the beginning of the step on: those that are being
        started and those that stand by count, those that finish their last batch do not.
    """

    kind: str
    stage: str
    from_hardware: str
    hardware: str
    from_replicas: int
    replicas: int
    from_batch: int
    max_batch: int
    serving: bool
    forced: bool
    cost_nano_usd_per_hour: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """The way from one configuration to another.

    Parameters
    ----------
    old, new
        Where it begins and ends.
    steps
        In their order; each begins when the one before it is done.
    limited
        Hardware whose limit did not allow to add everything before anything was taken away.
    hardware_order
        All hardware, in the order in which replicas are added and taken away.
    batch_places
        Where the change of batch size stands, for each stage that has one.
    """

    old: Configuration
    new: Configuration
    steps: tuple[TransitionStep, ...]
    limited: tuple[str, ...]
    hardware_order: tuple[str, ...]
    batch_places: Mapping[str, BatchPlace]


def batch_changes(old: Configuration, new: Configuration) -> tuple[str, ...]:
    """Return the stages that keep their hardware and change their maximum batch size."""
    return tuple(
        name
        for name, before in old.items()
        if before.hardware == new[name].hardware and before.max_batch != new[name].max_batch
    )


def plan_transition(
    problem: Problem,
    old: Configuration,
    new: Configuration,
    *,
    hardware_order: Sequence[str] = (),
    batch_places: Mapping[str, BatchPlace] | None = None,
) -> Transition:
    """Order the steps from one configuration to another so that capacity comes before it goes.

    First replicas are added, one hardware at a time; then stages are switched to their new hardware; then replicas
    are taken away. Hardware limits are never passed; where one forbids that order, `order_moves` says what happens.

    Which hardware comes first, and whether a change of batch size helps or hurts while other replicas are there than
    it was planned for, only a simulation can tell: both are arguments.

    Parameters
    ----------
    problem
        Gives the pipeline, its limits, prices and profiles.
    old, new
        Where it begins and ends; both name every stage.
    hardware_order
        Hardware in the order in which replicas are added and taken away; what is not named comes last, in the order
        of the pipeline file.
    batch_places
        By stage; ``between`` where nothing is said.
    """
    names = tuple(dict.fromkeys((*hardware_order, *(unit.name for unit in problem.pipeline.hardware))))
    moves, limited = order_moves(problem, old, new, names)
    asked = {} if batch_places is None else batch_places
    places: dict[str, BatchPlace] = {name: asked.get(name, "between") for name in batch_changes(old, new)}
    return Transition(
        old=old,
        new=new,
        steps=tuple(_steps(problem.pipeline, old, new, _with_batches(moves, new, places))),
        limited=limited,
        hardware_order=names,
        batch_places=MappingProxyType(places),
    )


def _with_batches(moves: Sequence[Move], new: Configuration, places: Mapping[str, BatchPlace]) -> Sequence[Move]:
    """Put the changes of batch size in their places; their number of replicas is told when the moves are played."""
    at: dict[BatchPlace, list[Move]] = {"first": [], "between": [], "last": []}
    for name, place in places.items():
        at[place].append(Move(kind=BATCH, stage=name, hardware=new[name].hardware, replicas=0))
    added = next((k for k, move in enumerate(moves) if move.kind != ADD), len(moves))
    return [*at["first"], *moves[:added], *at["between"], *moves[added:], *at["last"]]


def _steps(
    pipeline: Pipeline, old: Configuration, new: Configuration, moves: Sequence[Move]
) -> Iterator[TransitionStep]:
    """Play the moves and tell what each of them changes."""
    units = {(name, stage.hardware): stage.replicas for name, stage in old.items()}
    serving = {name: stage.hardware for name, stage in old.items()}
    max_batch = {(name, stage.hardware): stage.max_batch for name, stage in old.items()}
    for name, stage in new.items():
        max_batch.setdefault((name, stage.hardware), stage.max_batch)
    for move in moves:
        here = (move.stage, move.hardware)
        before = (move.stage, serving[move.stage]) if move.kind == SWITCH else here
        from_replicas, from_batch = units.get(before, 0), max_batch[before]
        if move.kind == BATCH:
            max_batch[here] = new[move.stage].max_batch
        else:
            units[here] = move.replicas
        if move.kind == SWITCH:
            serving[move.stage] = move.hardware
        yield TransitionStep(
            kind=move.kind,
            stage=move.stage,
            from_hardware=before[1],
            hardware=move.hardware,
            from_replicas=from_replicas,
            replicas=units[here],
            from_batch=from_batch,
            max_batch=max_batch[here],
            serving=serving[move.stage] == move.hardware,
            forced=move.forced,
            cost_nano_usd_per_hour=sum(
                pipeline.unit(hardware).price_nano_usd_per_hour * count for (_, hardware), count in units.items()
            ),
        )
