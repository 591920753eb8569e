"""Where the time of the slowest queries goes: along the critical path of each, stage by stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Configuration
from inferline.domain.slo import nearest_rank
from planner.problem import Problem
from simulator import Result

__all__ = ["Budget", "budgets", "slowest_queries"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the slowest queries spend at one stage: means over all of them, along each one's critical path.

    A query whose critical path leaves a stage out spends nothing there, even if it visits the stage: making that
    stage faster would not have made the query faster. So the sum over the stages is the mean latency.

    Parameters
    ----------
    wait_ns
        Time in the queue. A free replica never waits to fill a batch, so all of it is waiting for a free replica.
    service_ns
        Time in service, L(b) for a batch of b queries.
    alone_ns
        L(1) of the stage's hardware: the part of the service that a query alone in its batch would have needed.
    """

    wait_ns: float
    service_ns: float
    alone_ns: float

    @property
    def batching_ns(self) -> float:
        """L(b) - L(1), what the company of other queries added to the service.

        Below 0 where the profile says that a bigger batch is served faster.
        """
        return self.service_ns - self.alone_ns

    @property
    def total_ns(self) -> float:
        """Waiting and service."""
        return self.wait_ns + self.service_ns


def slowest_queries(problem: Problem, result: Result) -> NDArray[np.intp]:
    """Return the ids of the queries at and beyond the SLO's percentile of the latency, ascending."""
    rank = nearest_rank(problem.pipeline.slo.percentile, result.latency_ns.size)
    return np.flatnonzero(result.latency_ns >= np.partition(result.latency_ns, rank - 1)[rank - 1])


def budgets(problem: Problem, configuration: Configuration, result: Result) -> Mapping[str, Budget]:
    """Return, per stage, what the slowest queries spend there.

    The critical path of a query is walked back from the stage where it finished last, always to the parent that
    delivered it.

    Parameters
    ----------
    problem, configuration
        What was simulated.
    result
        With its visits recorded.
    """
    pipeline = problem.pipeline
    queries = slowest_queries(problem, result)
    number = {stage.name: place for place, stage in enumerate(pipeline.stages)}
    awaited_ns = problem.trace.arrival_ns[queries] + result.latency_ns[queries]
    standing = np.full(queries.size, _BEYOND_THE_END)
    spent: dict[str, Budget] = {}
    for stage in reversed(pipeline.stages):
        visits = result.stations[stage.name].each
        if visits.query_id.size == 0:
            spent[stage.name] = Budget(wait_ns=0.0, service_ns=0.0, alone_ns=0.0)
            continue
        place = np.minimum(np.searchsorted(visits.query_id, queries), visits.query_id.size - 1)
        leads_on = standing == _BEYOND_THE_END
        for child, _ in pipeline.children(stage.name):
            taken = problem.routes.get((stage.name, child.name))
            leads_on |= (standing == number[child.name]) & (True if taken is None else taken[queries])
        on_path = leads_on & (visits.query_id[place] == queries) & (visits.finish_ns[place] == awaited_ns)
        alone_ns = int(problem.latency_ns(stage.name, configuration[stage.name])[0])
        spent[stage.name] = Budget(
            wait_ns=float(np.where(on_path, visits.wait_ns[place], 0).mean()),
            service_ns=float(np.where(on_path, visits.service_ns[place], 0).mean()),
            alone_ns=float(np.where(on_path, alone_ns, 0).mean()),
        )
        awaited_ns = np.where(on_path, visits.arrival_ns[place], awaited_ns)
        standing = np.where(on_path, number[stage.name], standing)
    return {stage.name: spent[stage.name] for stage in pipeline.stages}


_BEYOND_THE_END = -1
