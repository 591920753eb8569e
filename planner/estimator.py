"""The estimator says whether a configuration meets the SLO on the trace.

It simulates stage by stage. What leaves a stage depends only on the configurations of the stage and its ancestors,
so departures are kept by that prefix and used again. A stage is given up as soon as more queries have left it too
late than the SLO allows, counting the least time they still need: no configuration of the later stages could help.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from inferline.domain import Configuration, StageConfiguration
from planner.problem import Problem
from simulator.kernel.engine import Pool, Stream, enter, feed, serve
from simulator.kernel.flow import count_late

__all__ = ["Estimator"]

Prefix = tuple[str, tuple[StageConfiguration, ...]]
Answer = TypeVar("Answer")

THREADS = 2
CACHE_BYTES = 1 << 30


class Estimator:
    """Answers questions about configurations of one problem, and remembers what it has simulated.

    Parameters
    ----------
    problem
        What is planned.
    threads
        Threads of `evaluate`; the simulation runs without Python's lock.
    cache_bytes
        Departures kept between two calls of `trim`.
    survive
        The SLO must also hold with this many replicas, or fewer, of any one stage gone.

    Attributes
    ----------
    threads, survive
        As given.
    simulated, reused
        Stations simulated so far, and stations whose departures were there already.
    """

    def __init__(
        self, problem: Problem, *, threads: int = THREADS, cache_bytes: int = CACHE_BYTES, survive: int = 0
    ) -> None:
        self.problem = problem
        self.survive = survive
        self.simulated = 0
        self.reused = 0
        self.threads = threads
        self._cache_bytes = cache_bytes
        self._pool = Pool(len(problem.trace))
        self._entering = enter(problem.trace.arrival_ns)
        self._departures: OrderedDict[Prefix, Stream] = OrderedDict()
        self._hopeless: set[Prefix] = set()
        self._verdicts: dict[Configuration, bool] = {}
        self._least_replicas: dict[tuple[str, str, int], int] = {}
        self._lineage = _lineages(problem)
        self._ends = _ends(problem)

    def least_replicas(self, stage: str, hardware: str, max_batch: int) -> int:
        """Return a number of replicas below which a stage cannot meet the SLO, by its total work alone.

        All but the allowed late visits must be served between the first arrival and the last deadline, and each
        takes at least min L(b) / b of a replica's time.
        """
        key = (stage, hardware, max_batch)
        if key not in self._least_replicas:
            problem = self.problem
            in_time = problem.visits[stage] - problem.late_allowed
            span_ns = int(problem.deadline_ns[stage].max()) - int(problem.trace.arrival_ns[0])
            work_ns = in_time * problem.options[stage][hardware].replica_time_ns(max_batch)
            # One part in 10^9 covers the rounding of the division; the bound stays sound.
            self._least_replicas[key] = max(1, math.ceil(work_ns * (1 - 1e-9) / span_ns)) if span_ns > 0 else 1
        return self._least_replicas[key] + self.survive

    def feasible(self, configuration: Configuration) -> bool:
        """Whether the configuration meets the SLO on the trace, and survives; limits and bounds aside."""
        if any(stage.replicas <= self.survive for stage in configuration.values()):
            return False
        return self._meets(configuration) and all(map(self._meets, _losses(configuration, self.survive)))

    def _meets(self, configuration: Configuration) -> bool:
        if configuration not in self._verdicts:
            self._verdicts[configuration] = self._judge(configuration)
        return self._verdicts[configuration]

    def evaluate(self, questions: Sequence[Callable[[], Answer]]) -> list[Answer]:
        """Return the answers to independent questions, found on all threads, in the order of the questions."""
        with ThreadPoolExecutor(self.threads) as threads:
            return list(threads.map(lambda question: question(), questions))

    def trim(self) -> None:
        """Forget the departures that were used longest ago, down to the memory allowed.

        Call it only while nothing is being evaluated: buffers are used again.
        """
        size = 12 * len(self.problem.trace)
        while len(self._departures) * size > self._cache_bytes:
            _, stream = self._departures.popitem(last=False)
            self._pool.give_back(stream)

    def _judge(self, configuration: Configuration) -> bool:
        prefixes = {
            stage.name: (stage.name, tuple(configuration[name] for name in self._lineage[stage.name]))
            for stage in self.problem.pipeline.stages
        }
        for name, chosen in configuration.items():
            if chosen.replicas < self.least_replicas(name, chosen.hardware, chosen.max_batch) - self.survive:
                return False
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
        return self._late(departures) <= self.problem.late_allowed

    def _simulate(self, name: str, chosen: StageConfiguration, departures: dict[str, Stream]) -> Stream | None:
        """Return what leaves the stage, or None when too much of it is late."""
        problem = self.problem
        fed_by = [
            (departures[edge.parent], problem.routes.get((edge.parent, name)))
            for edge in problem.pipeline.stage(name).parents
        ]
        arrivals = feed(fed_by, self._pool) if fed_by else self._entering
        served = serve(
            arrivals,
            problem.latency_ns(name, chosen),
            chosen.replicas,
            self._pool,
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

    def _late(self, departures: dict[str, Stream]) -> int:
        """Return how many queries are late; with one end, its own count already stayed within the allowance."""
        if len(self._ends) == 1:
            return 0
        late = np.zeros(len(self.problem.trace), dtype=np.bool_)
        return sum(
            count_late(departures[name].instant_ns, departures[name].query_id, self.problem.deadline_ns[name], late)
            for name in self._ends
        )


def _losses(configuration: Configuration, survive: int) -> Iterator[Configuration]:
    """Yield the configurations that are left when up to so many replicas of one stage are gone."""
    for name, chosen in configuration.items():
        for lost in range(1, survive + 1):
            left = StageConfiguration(
                hardware=chosen.hardware, max_batch=chosen.max_batch, replicas=chosen.replicas - lost
            )
            yield configuration.with_stage(name, left)


def _lineages(problem: Problem) -> dict[str, tuple[str, ...]]:
    """Return, per stage, its ancestors and itself, in topological order."""
    lineage: dict[str, set[str]] = {}
    for stage in problem.pipeline.stages:
        lineage[stage.name] = {stage.name}.union(*(lineage[edge.parent] for edge in stage.parents))
    order = [stage.name for stage in problem.pipeline.stages]
    return {name: tuple(sorted(members, key=order.index)) for name, members in lineage.items()}


def _ends(problem: Problem) -> tuple[str, ...]:
    """Return the stages that can be the last one of a query."""
    pipeline = problem.pipeline
    return tuple(
        stage.name
        for stage in pipeline.stages
        if all((stage.name, child.name) in problem.routes for child, _ in pipeline.children(stage.name))
    )
