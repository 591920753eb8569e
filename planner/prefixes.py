"""Configurations simulated stage by stage; what leaves a stage is kept by the configurations that it depends on.

What leaves a stage depends only on the configurations of the stage and its ancestors, so departures are kept by that
prefix and used again. A stage is given up as soon as more queries have left it too late than the SLO allows, counting
the least time they still need: no configuration of the later stages could help.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

import numpy as np

from inferline.domain import Configuration, StageConfiguration
from planner.problem import Problem
from simulator.kernel.engine import Pool, Stream, enter, feed, serve
from simulator.kernel.flow import count_late
from simulator.kernel.station import Ids, Instants

__all__ = ["Prefixes", "Service", "ends", "late_queries", "lineages"]

Prefix = tuple[str, tuple[StageConfiguration, ...]]
Service = Callable[[str, StageConfiguration], tuple[Instants, Ids | None]]
"""Service times of a stage's configuration: L(1) ... L(B), or rows of them with the row of every batch."""


class Prefixes:
    """Says whether configurations of one problem meet the SLO, and keeps the departures of their prefixes.

    Parameters
    ----------
    problem
        Gives the arrivals, routes, deadlines and the allowance.
    service
        Service times of a stage's configuration.

    Attributes
    ----------
    simulated, reused
        Stations simulated so far, and stations whose departures were there already.
    """

    def __init__(self, problem: Problem, service: Service) -> None:
        self.problem = problem
        self.simulated = 0
        self.reused = 0
        self._service = service
        self._pool = Pool(len(problem.trace))
        self._entering = enter(problem.trace.arrival_ns)
        self._departures: OrderedDict[Prefix, Stream] = OrderedDict()
        self._hopeless: set[Prefix] = set()
        self._lineage = lineages(problem)
        self._ends = ends(problem)

    def meets(self, configuration: Configuration) -> bool:
        """Whether the configuration meets the SLO, bounds and limits aside; several threads may ask."""
        prefixes = {
            stage.name: (stage.name, tuple(configuration[name] for name in self._lineage[stage.name]))
            for stage in self.problem.pipeline.stages
        }
        if any(prefix in self._hopeless for prefix in prefixes.values()):
            return False
        departures: dict[str, Stream] = {}
        for name, prefix in prefixes.items():
            stream = self._departures.get(prefix)
            if stream is None:
                stream = self._simulate(name, configuration[name], departures)
                if stream is None:
                    self._hopeless.add(prefix)
                    return False
                self._departures[prefix] = stream
            else:
                self.reused += 1
                self._departures.move_to_end(prefix)
            departures[name] = stream
        return late_queries(self.problem, self._ends, departures) <= self.problem.late_allowed

    def keep(self, count: int) -> None:
        """Forget the departures that were used longest ago, down to so many.

        Call it only while nothing is being asked: buffers are used again.
        """
        while len(self._departures) > count:
            _, stream = self._departures.popitem(last=False)
            self._pool.give_back(stream)

    def _simulate(self, name: str, chosen: StageConfiguration, departures: Mapping[str, Stream]) -> Stream | None:
        """Return what leaves the stage, or None when too much of it is late."""
        problem = self.problem
        fed_by = [
            (departures[edge.parent], problem.routes.get((edge.parent, name)))
            for edge in problem.pipeline.stage(name).parents
        ]
        arrivals = feed(fed_by, self._pool) if fed_by else self._entering
        latency_ns, row = self._service(name, chosen)
        served = serve(
            arrivals,
            latency_ns,
            chosen.replicas,
            self._pool,
            row=row,
            deadline_ns=problem.deadline_ns[name],
            late_allowed=problem.late_allowed,
        )
        self.simulated += 1
        if fed_by and all(arrivals is not stream for stream, _ in fed_by):
            self._pool.give_back(arrivals)
        if served.aborted:
            self._pool.give_back(served.departures)
            return None
        return served.departures


def late_queries(problem: Problem, last: tuple[str, ...], departures: Mapping[str, Stream]) -> int:
    """Return how many queries are late over all ends of the pipeline, each counted once.

    With one end the answer is 0: its own count has stayed within the allowance already.
    """
    if len(last) == 1:
        return 0
    late = np.zeros(len(problem.trace), dtype=np.bool_)
    return sum(
        count_late(departures[name].instant_ns, departures[name].query_id, problem.deadline_ns[name], late)
        for name in last
    )


def lineages(problem: Problem) -> dict[str, tuple[str, ...]]:
    """Return, per stage, its ancestors and itself, in topological order."""
    lineage: dict[str, set[str]] = {}
    for stage in problem.pipeline.stages:
        lineage[stage.name] = {stage.name}.union(*(lineage[edge.parent] for edge in stage.parents))
    order = [stage.name for stage in problem.pipeline.stages]
    return {name: tuple(sorted(members, key=order.index)) for name, members in lineage.items()}


def ends(problem: Problem) -> tuple[str, ...]:
    """Return the stages that can be the last one of a query."""
    pipeline = problem.pipeline
    return tuple(
        stage.name
        for stage in pipeline.stages
        if all((stage.name, child.name) in problem.routes for child, _ in pipeline.children(stage.name))
    )
