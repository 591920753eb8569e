"""The near future that is simulated: the last arrivals once more, behind what is in the pipeline already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Pipeline, Stage, draw_routes
from tuner.policies.backlog import Asked, starting_ns
from tuner.situation import Future, Observation, Situation

__all__ = ["futures"]


def futures(
    situation: Situation,
    observation: Observation,
    replay_ns: NDArray[np.float64],
    shares: Mapping[tuple[str, str], float],
    asked: Asked,
) -> Callable[[Mapping[str, int]], Future]:
    """Return the future of each choice of counts; everything in it but the replicas is made once.

    Queries that wait or are in service begin at their stage, now: those in service count as waiting, which is at most
    one batch too pessimistic. The fresh ones, which come last, take the branches that queries took lately.

    Parameters
    ----------
    replay_ns
        float64 (n,), non-decreasing: the fresh arrivals, from now (0) on.
    shares
        By edge, queries at the child for each at the parent.
    asked
        What may still be starting.
    """
    pipeline = situation.pipeline
    waiting = {name: seen.queued + seen.in_service for name, seen in observation.stages.items()}
    present = sum(waiting.values())
    queries = present + replay_ns.size
    begins: dict[str, NDArray[np.bool_]] = {}
    first = 0
    for stage in pipeline.stages:
        begins[stage.name] = here = np.zeros(queries, dtype=np.bool_)
        here[first : first + waiting[stage.name]] = True
        here[present:] = stage.is_entry
        first += waiting[stage.name]
    arrival_ns = np.concatenate((np.zeros(present, dtype=np.int64), replay_ns.astype(np.int64)))
    taken = draw_routes(_as_seen(pipeline, shares), queries)
    ready_ns = starting_ns(situation, observation, asked)

    def of(counts: Mapping[str, int]) -> Future:
        return Future(
            arrival_ns=arrival_ns,
            begins=begins,
            taken=taken,
            replicas={
                name: _serving(situation, observation, name, ready_ns[name], count) for name, count in counts.items()
            },
        )

    return of


def _as_seen(pipeline: Pipeline, shares: Mapping[tuple[str, str], float]) -> Pipeline:
    """Return the pipeline with the branch probabilities that were seen.

    Only where a stage has one parent: of a join, nobody can tell from the counts which way the queries came.
    """

    def seen(stage: Stage) -> Stage:
        if len(stage.parents) != 1 or stage.parents[0].always_taken:
            return stage
        (edge,) = stage.parents
        return replace(stage, parents=(replace(edge, probability=shares[edge.parent, stage.name]),))

    return replace(pipeline, stages=tuple(seen(stage) for stage in pipeline.stages))


def _serving(
    situation: Situation, observation: Observation, name: str, ready_ns: tuple[int, ...], count: int
) -> tuple[tuple[int, int], ...]:
    """Return (from when, how many) replicas of a stage serve when it is to have that count from now on."""
    seen = observation.stages[name]
    serving = min(seen.ready, count)
    steps = {0: serving}
    for each_ns in ready_ns[: max(0, count - serving)]:
        serving += 1
        steps[each_ns - observation.now_ns] = serving
    if serving < count:
        steps[max(situation.activation_ns[name], *steps)] = count
    return tuple(sorted(steps.items()))
