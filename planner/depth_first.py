"""The inner search of the exact planner: replicas and batch sizes for a given choice of hardware, depth-first."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Configuration, StageConfiguration
from planner.estimator import Estimator
from planner.prefixes import ends, late_queries, lineages
from planner.problem import Option, Problem
from planner.relaxation import Hardware, Relaxation, fewest_replicas
from simulator.kernel.engine import Pool, Served, Stream, enter, feed, serve
from simulator.kernel.relaxation import release_in_order

__all__ = ["Incumbent", "Interrupted", "Walk"]

Instants = NDArray[np.int64]
Rank = tuple[int, ...]
Choice = tuple[int, int]
"""Maximum batch size and replicas of one stage."""


_CACHE_BYTES = 1 << 28


class Interrupted(Exception):  # noqa: N818 - an ending, not an error
    """The search must end before the walk is done."""


class Incumbent:
    """The best configuration so far, shared by all walks.

    Among configurations of one cost, the one whose hardware comes first in the order of choices wins, and within one
    choice the first that its walk meets: so the answer does not depend on which thread was faster.
    """

    def __init__(self, problem: Problem, first: Configuration | None) -> None:
        self._pipeline = problem.pipeline
        self._lock = threading.Lock()
        self.configuration = first
        dearest = sum(
            max(option.price_nano_usd_per_hour for option in options.values())
            * problem.pipeline.stage(name).max_replicas
            for name, options in problem.options.items()
        )
        self.cost_nano_usd = dearest + 1 if first is None else first.cost_nano_usd_per_hour(problem.pipeline)
        self._rank: Rank = ()  # before every other

    def within(self, rank: Rank) -> int:
        """Return the most that a configuration of this choice may cost to become the incumbent."""
        with self._lock:
            return self.cost_nano_usd if rank < self._rank else self.cost_nano_usd - 1

    def offer(self, configuration: Configuration, rank: Rank) -> None:
        """Take a feasible configuration if it is better."""
        cost = configuration.cost_nano_usd_per_hour(self._pipeline)
        with self._lock:
            if cost < self.cost_nano_usd or (cost == self.cost_nano_usd and rank < self._rank):
                self.configuration, self.cost_nano_usd, self._rank = configuration, cost, rank


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """One stage of the walk, for the present choice of hardware."""

    name: str
    option: Option
    fewest: int
    most: int
    rest_nano_usd: int
    deadline_ns: Instants
    by_deadline: NDArray[np.int32]
    deadlines_in_order: Instants
    longest_ns: int
    parents: tuple[tuple[int, NDArray[np.bool_] | None], ...]
    lineage: tuple[int, ...]
    shared: bool


class Walk:
    """Depth-first walks of one thread.

    Parameters
    ----------
    problem
        What is planned.
    incumbent
        Shared with the other threads.
    out_of_time
        Asked before every simulation.
    survive
        The SLO must also hold with this many replicas, or fewer, of any one stage gone.
    """

    def __init__(
        self, problem: Problem, incumbent: Incumbent, out_of_time: Callable[[], bool], survive: int = 0
    ) -> None:
        self.problem = problem
        self._survive = survive
        self._estimator = Estimator(problem, threads=1, cache_bytes=_CACHE_BYTES, survive=survive)
        self.simulated = 0
        self._incumbent, self._out_of_time = incumbent, out_of_time
        self._pool = Pool(len(problem.trace))
        self._entering = enter(problem.trace.arrival_ns)
        self._scratch_ns = np.empty(len(problem.trace), dtype=np.int64)
        stages = problem.pipeline.stages
        self._number = {stage.name: place for place, stage in enumerate(stages)}
        self._ends = ends(problem)
        self._levels: list[_Level] = []
        self._rank: Rank = ()
        self._hardware: Hardware = ()
        self._known: dict[tuple[int, tuple[Choice, ...]], Served | None] = {}

    def walk(self, hardware: Hardware, rank: Rank, relaxation: Relaxation) -> None:
        """Search all replicas and batch sizes of one choice of hardware, and offer what is better.

        Raises
        ------
        Interrupted
            When the time is over.
        """
        self._rank, self._hardware = rank, hardware
        self._known.clear()
        self._levels = self._prepare(hardware, relaxation)
        self._descend(0, [], [], 0)

    def _prepare(self, hardware: Hardware, relaxation: Relaxation) -> list[_Level]:
        problem = self.problem
        deadlines = relaxation.deadlines(hardware)
        levels: list[_Level] = []
        above = lineages(problem)
        rest = 0
        for place in reversed(range(len(hardware))):
            stage = problem.pipeline.stages[place]
            unit = hardware[place]
            assert unit is not None, "walks are for whole choices"
            option = problem.options[stage.name][unit]
            windows = relaxation.windows(place, hardware)
            limit = problem.pipeline.unit(unit).limit
            fewest = relaxation.fewest(place, unit, hardware)
            assert fewest is not None, "choices that nothing meets are not walked"
            lineage = tuple(self._number[name] for name in above[stage.name])
            levels.append(
                _Level(
                    name=stage.name,
                    option=option,
                    fewest=fewest,
                    most=stage.max_replicas if limit is None else min(limit, stage.max_replicas),
                    rest_nano_usd=rest,
                    deadline_ns=deadlines[stage.name],
                    by_deadline=windows.order,
                    deadlines_in_order=windows.deadline_ns,
                    longest_ns=windows.longest_ns,
                    parents=tuple(
                        (self._number[edge.parent], problem.routes.get((edge.parent, stage.name)))
                        for edge in stage.parents
                    ),
                    lineage=lineage,
                    shared=len(lineage) <= place,
                )
            )
            rest += fewest * option.price_nano_usd_per_hour
        return levels[::-1]

    def _descend(self, place: int, choices: list[Choice], departures: list[Stream], cost_nano_usd: int) -> None:
        """Try every replica count and batch size of one stage, given those of the stages before it."""
        level = self._levels[place]
        fed_by = [(departures[parent], taken) for parent, taken in level.parents]
        arrivals = feed(fed_by, self._pool) if fed_by else self._entering
        sizes = list(reversed(level.option.batch_sizes))  # descending; those still worth trying
        replicas = self._fewest(level, arrivals, place)
        most = self._most(level, choices, place)
        while sizes and replicas is not None and replicas <= most:
            spent = cost_nano_usd + replicas * level.option.price_nano_usd_per_hour
            if spent + level.rest_nano_usd > self._incumbent.within(self._rank):
                break
            self._try(place, choices, departures, arrivals, replicas, spent, sizes)
            replicas += 1
        if fed_by and all(arrivals is not stream for stream, _ in fed_by):
            self._pool.give_back(arrivals)

    def _try(
        self,
        place: int,
        choices: list[Choice],
        departures: list[Stream],
        arrivals: Stream,
        replicas: int,
        spent_nano_usd: int,
        sizes: list[int],
    ) -> None:
        """Try every batch size of one stage with so many replicas; drop those that more replicas change nothing of.

        Twins are skipped only when nothing has to be survived: they act the same on these arrivals, not on those that
        come when a replica of an earlier stage is gone.
        """
        level = self._levels[place]
        largest = sizes[0] + 1
        for size in list(sizes):
            if size >= largest and self._survive == 0:
                continue  # no batch was ever larger: the same departures as the size before
            here = [*choices, (size, replicas)]
            runs = self._serve_with_losses(place, here, arrivals)
            if runs is None:
                continue
            served = runs[0]
            largest = served.largest_batch
            if not served.short and self._survive == 0:
                sizes.remove(size)  # more replicas give the same departures, for more money
            if place + 1 < len(self._levels):
                self._descend(place + 1, here, [*departures, served.departures], spent_nano_usd)
            elif self._in_time([*departures, served.departures]):
                self._offer(self._configuration(here))
            if not level.shared:
                for run in runs:
                    self._pool.give_back(run.departures)
            if spent_nano_usd + level.rest_nano_usd > self._incumbent.within(self._rank):
                return

    def _fewest(self, level: _Level, arrivals: Stream, place: int) -> int | None:
        """Return the fewest replicas that the relaxation leaves on the real arrivals."""
        if place == 0:
            return level.fewest
        release_ns = np.empty(len(arrivals), dtype=np.int64)
        release_in_order(arrivals.instant_ns, arrivals.query_id, level.by_deadline, self._scratch_ns, release_ns)
        left = fewest_replicas(
            release_ns,
            level.deadlines_in_order,
            level.option.latency_ns,
            self.problem.late_allowed,
            level.longest_ns,
            range(level.fewest - self._survive, level.most - self._survive + 1),
        )
        return None if left is None else left + self._survive

    def _most(self, level: _Level, choices: list[Choice], place: int) -> int:
        """Return the most replicas that the hardware's limit leaves, given the stages before."""
        unit = self._hardware[place]
        limit = self.problem.pipeline.unit(level.option.hardware).limit
        if limit is None:
            return level.most
        used = sum(replicas for (_, replicas), other in zip(choices, self._hardware, strict=False) if other == unit)
        return min(level.most, limit - used)

    def _offer(self, configuration: Configuration) -> None:
        """Offer a configuration that meets the SLO, if it survives too."""
        if self._survive == 0 or self._estimator.feasible(configuration):
            self._incumbent.offer(configuration, self._rank)
        self._estimator.trim()

    def _serve_with_losses(self, place: int, choices: list[Choice], arrivals: Stream) -> list[Served] | None:
        """Simulate one stage whole and with each number of lost replicas; None when too much is late in any run."""
        size, replicas = choices[place]
        runs: list[Served] = []
        for lost in range(self._survive + 1):
            run = self._serve(place, [*choices[:place], (size, replicas - lost)], arrivals)
            if run is None:
                if not self._levels[place].shared:
                    for earlier in runs:
                        self._pool.give_back(earlier.departures)
                return None
            runs.append(run)
        return runs

    def _serve(self, place: int, choices: list[Choice], arrivals: Stream) -> Served | None:
        """Simulate one stage, or remember it when other branches of the pipeline share it; None: too much is late."""
        level = self._levels[place]
        key = (place, tuple(choices[each] for each in level.lineage))
        if level.shared and key in self._known:
            return self._known[key]
        if self._out_of_time():
            raise Interrupted
        size, replicas = choices[place]
        served = serve(
            arrivals,
            level.option.latency_ns[:size],
            replicas,
            self._pool,
            deadline_ns=level.deadline_ns,
            late_allowed=self.problem.late_allowed,
        )
        self.simulated += 1
        if served.aborted:
            self._pool.give_back(served.departures)
        answer = None if served.aborted else served
        if level.shared:
            self._known[key] = answer
        return answer

    def _in_time(self, departures: list[Stream]) -> bool:
        """Whether few enough queries are late over all ends of the pipeline."""
        by_name = dict(zip(self._number, departures, strict=True))
        return late_queries(self.problem, self._ends, by_name) <= self.problem.late_allowed

    def _configuration(self, choices: list[Choice]) -> Configuration:
        chosen: Mapping[str, StageConfiguration] = {
            level.name: StageConfiguration(hardware=level.option.hardware, max_batch=size, replicas=replicas)
            for level, (size, replicas) in zip(self._levels, choices, strict=True)
        }
        return Configuration(chosen)
