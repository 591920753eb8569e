"""The near future that is simulated: arrivals, the branches they take, and the replicas that serve them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Pipeline, Stage, draw_routes
from tuner.situation import Future

__all__ = ["fresh"]


def fresh(
    pipeline: Pipeline, replay_ns: NDArray[np.float64], shares: Mapping[tuple[str, str], float]
) -> Callable[[Mapping[str, int]], Future]:
    """Return the future of each choice of counts, in a pipeline that is empty; all but the replicas is made once.

    Parameters
    ----------
    pipeline
        The stages.
    replay_ns
        float64 (n,), non-decreasing: the arrivals, from now (0) on.
    shares
        By edge, queries at the child for each at the parent.
    """
    arrival_ns = replay_ns.astype(np.int64)
    everyone = np.ones(arrival_ns.size, dtype=np.bool_)
    begins = {stage.name: everyone for stage in pipeline.stages if stage.is_entry}
    taken = draw_routes(_as_seen(pipeline, shares), arrival_ns.size)

    def of(counts: Mapping[str, int]) -> Future:
        replicas = {name: ((0, count),) for name, count in counts.items()}
        return Future(arrival_ns=arrival_ns, begins=begins, taken=taken, replicas=replicas)

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
