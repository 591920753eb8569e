"""Whether configurations meet the SLO in one world; what leaves a stage is kept by the configurations before it."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from inferline.domain import Configuration, StageConfiguration
from planner.uncertainty.worlds import World
from simulator.kernel.engine import Pool, Stream, enter, feed, serve
from simulator.kernel.flow import count_late

__all__ = ["WorldEstimator"]

Prefix = tuple[str, tuple[StageConfiguration, ...]]

_UNDER_WAY = 3


class WorldEstimator:
    """Judges configurations in one world, one at a time.

    Parameters
    ----------
    world
        The world.
    kept
        How many stages' departures are kept from one configuration to the next.
    """

    def __init__(self, world: World, kept: int) -> None:
        self.world = world
        self._kept = kept
        self._pool = Pool(len(world.problem.trace))
        self._entering = enter(world.problem.trace.arrival_ns)
        self._departures: OrderedDict[Prefix, Stream] = OrderedDict()
        self._hopeless: set[Prefix] = set()
        self._above: dict[str, tuple[str, ...]] = {}
        stages = world.problem.pipeline.stages
        for stage in stages:
            above = {stage.name}.union(*(self._above[edge.parent] for edge in stage.parents))
            self._above[stage.name] = tuple(each.name for each in stages if each.name in above)
        self._ends = [
            stage.name
            for stage in stages
            if all(
                (stage.name, child.name) in world.problem.routes
                for child, _ in world.problem.pipeline.children(stage.name)
            )
        ]

    @property
    def nbytes(self) -> int:
        """About the most memory that the world takes here: itself, departures kept and departures under way."""
        return self.world.nbytes + 12 * len(self.world.problem.trace) * (self._kept + _UNDER_WAY)

    def meets(self, configuration: Configuration) -> bool:
        """Whether the configuration meets the SLO here; stages are given up as early as the estimator's are."""
        problem = self.world.problem
        departures: dict[str, Stream] = {}
        for stage in problem.pipeline.stages:
            prefix = stage.name, tuple(configuration[name] for name in self._above[stage.name])
            if prefix in self._hopeless:
                return self._kept_within(False)
            stream = self._departures.get(prefix)
            if stream is None:
                stream = self._simulate(stage.name, configuration[stage.name], departures)
                if stream is None:
                    self._hopeless.add(prefix)
                    return self._kept_within(False)
                self._departures[prefix] = stream
            self._departures.move_to_end(prefix)
            departures[stage.name] = stream
        return self._kept_within(self._late(departures) <= problem.late_allowed)

    def _simulate(self, name: str, chosen: StageConfiguration, departures: dict[str, Stream]) -> Stream | None:
        """Return what leaves the stage, or None when too much of it is late."""
        problem = self.world.problem
        fed_by = [
            (departures[edge.parent], problem.routes.get((edge.parent, name)))
            for edge in problem.pipeline.stage(name).parents
        ]
        arrivals = feed(fed_by, self._pool) if fed_by else self._entering
        rows_ns, row = self.world.rows(name, chosen)
        served = serve(
            arrivals,
            rows_ns,
            chosen.replicas,
            self._pool,
            row=row,
            deadline_ns=problem.deadline_ns[name],
            late_allowed=problem.late_allowed,
        )
        if fed_by and all(arrivals is not stream for stream, _ in fed_by):
            self._pool.give_back(arrivals)
        if served.aborted:
            self._pool.give_back(served.departures)
            return None
        return served.departures

    def _late(self, departures: dict[str, Stream]) -> int:
        """Return how many queries are late; with one end, its own count already stayed within the allowance."""
        if len(self._ends) == 1:
            return 0
        late = np.zeros(len(self.world.problem.trace), dtype=np.bool_)
        return sum(
            count_late(
                departures[name].instant_ns, departures[name].query_id, self.world.problem.deadline_ns[name], late
            )
            for name in self._ends
        )

    def _kept_within(self, verdict: bool) -> bool:
        while len(self._departures) > self._kept:
            _, stream = self._departures.popitem(last=False)
            self._pool.give_back(stream)
        return verdict
