"""An estimator over many worlds: a configuration is feasible when it meets the SLO in enough of them."""

from __future__ import annotations

import math
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from inferline.domain import Configuration
from planner.estimator import THREADS, Estimator
from planner.uncertainty.world_estimator import WorldEstimator
from planner.uncertainty.worlds import World, Worlds

__all__ = ["ConfidentEstimator", "OutOfTime"]

Answer = TypeVar("Answer")

WORLD_BYTES = 4 << 30
CACHE_BYTES = 1 << 30
_HARDEST = 8


class OutOfTime(Exception):  # noqa: N818 - an ending, not an error
    """The search must end before its next simulation."""


@dataclass(frozen=True, slots=True)
class _Load:
    """What `ConfidentEstimator.least_replicas` needs of one stage in one world."""

    in_time: int
    span_ns: int


class ConfidentEstimator:
    """Judges configurations by many worlds; the interface of `planner.oracle.Oracle`.

    Parameters
    ----------
    worlds
        Where the worlds come from.
    numbers
        Which of them count.
    required
        In how many of them the SLO must be met.
    sample
        Estimator of the sampled trace itself: there the SLO must be met too.
    out_of_time
        Asked before every verdict that is not known yet; the search then ends with `OutOfTime`.
    cores
        Worlds simulated at once. Questions are answered one after the other (``threads`` is 1): so none is simulated
        in vain.

    Attributes
    ----------
    best
        The cheapest configuration that was found feasible and is within the pipeline's limits; None at first.
    """

    def __init__(
        self,
        worlds: Worlds,
        numbers: Sequence[int],
        required: int,
        sample: Estimator,
        out_of_time: Callable[[], bool] = lambda: False,
        *,
        cores: int = THREADS,
    ) -> None:
        self.worlds, self.numbers, self.required = worlds, tuple(numbers), required
        self.problem = worlds.problem
        self.threads = 1
        self.out_of_time = out_of_time
        self.best: Configuration | None = None
        self._sample = sample
        self._cores = ThreadPoolExecutor(cores)
        self._at_once = cores
        queries = len(self.problem.trace)
        self._kept = max(len(self.problem.options), CACHE_BYTES // (12 * queries * len(self.numbers)))
        self._estimators: OrderedDict[int, WorldEstimator] = OrderedDict()
        self._lock = threading.Lock()
        self._failed: Counter[int] = Counter()
        self._verdicts: dict[Configuration, bool] = {}
        self._least_replicas: dict[tuple[str, str, int], int] = {}
        self._loads: dict[str, list[_Load]] = {name: [] for name in self.problem.options}
        for world in self._each(lambda estimator: estimator.world, self.numbers):
            for name, loads in self._loads.items():
                loads.append(_load(world, name))

    def feasible(self, configuration: Configuration) -> bool:
        """Whether enough worlds are met, and the sampled trace is; limits and bounds aside."""
        if configuration not in self._verdicts:
            if self.out_of_time():
                raise OutOfTime
            self._verdicts[configuration] = self._judge(configuration)
            if self._verdicts[configuration]:
                self._note(configuration)
        return self._verdicts[configuration]

    def least_replicas(self, stage: str, hardware: str, max_batch: int) -> int:
        """Return a number of replicas below which too many worlds fail by the stage's total work alone."""
        key = (stage, hardware, max_batch)
        if key not in self._least_replicas:
            fastest_ns = self.worlds.times.rows_ns[stage, hardware][0, :max_batch]
            each_ns = float((fastest_ns / np.arange(1, max_batch + 1)).min()) * (1 - 1e-9)
            least = sorted(
                max(1, math.ceil(load.in_time * each_ns / load.span_ns)) if load.span_ns > 0 else 1
                for load in self._loads[stage]
            )
            self._least_replicas[key] = max(
                least[self.required - 1], self._sample.least_replicas(stage, hardware, max_batch)
            )
        return self._least_replicas[key]

    def evaluate(self, questions: Sequence[Callable[[], Answer]]) -> list[Answer]:
        """Return the answers to the questions, found one after the other; each one uses all cores."""
        return [question() for question in questions]

    def trim(self) -> None:
        """Forget what the sampled trace takes too much memory for; what a world keeps is cut after each verdict."""
        self._sample.trim()

    def met(self, configuration: Configuration) -> int:
        """Return in how many of the worlds the SLO is met."""
        return sum(self._each(lambda estimator: estimator.meets(configuration), self.numbers))

    def excess(self, configuration: Configuration) -> float:
        """Return how far the configuration is from feasible: late queries beyond the allowance, as a mean share.

        Taken over the worlds that failed most often, so that it is quick and says something when all worlds fail.
        """

        def beyond(estimator: WorldEstimator) -> float:
            problem = estimator.world.problem
            late = np.count_nonzero(estimator.world.latency_ns(configuration) > problem.pipeline.slo.latency_ns)
            return max(0, int(late) - problem.late_allowed) / len(problem.trace)

        shares = list(self._each(beyond, self.hardest()[:_HARDEST]))
        return sum(shares) / len(shares)

    def hardest(self) -> list[int]:
        """Return the numbers of the worlds, those that failed most often first."""
        return sorted(self.numbers, key=lambda number: (-self._failed[number], number))

    def close(self) -> None:
        """End the threads."""
        self._cores.shutdown()

    def _judge(self, configuration: Configuration) -> bool:
        for name, chosen in configuration.items():
            if chosen.replicas < self.least_replicas(name, chosen.hardware, chosen.max_batch):
                return False
        if not self._sample.feasible(configuration):
            return False
        may_fail = len(self.numbers) - self.required
        order = self.hardest()
        failed = 0
        for place in range(0, len(order), self._at_once):
            tried = order[place : place + self._at_once]
            for number, meets in zip(tried, self._each(lambda each: each.meets(configuration), tried), strict=True):
                failed += not meets
                self._failed[number] += not meets
            if failed > may_fail:
                return False
        return True

    def _note(self, configuration: Configuration) -> None:
        pipeline = self.problem.pipeline
        within = all(configuration[stage.name].replicas <= stage.max_replicas for stage in pipeline.stages)
        if not within or configuration.exceeded_limits(pipeline):
            return
        cost = configuration.cost_nano_usd_per_hour(pipeline)
        if self.best is None or cost < self.best.cost_nano_usd_per_hour(pipeline):
            self.best = configuration

    def _each(self, ask: Callable[[WorldEstimator], Answer], numbers: Sequence[int]) -> Iterator[Answer]:
        return self._cores.map(lambda number: ask(self._estimator(number)), numbers)

    def _estimator(self, number: int) -> WorldEstimator:
        """Return the estimator of a world, drawn again when it had to make room; never asked twice at once."""
        with self._lock:
            found = self._estimators.get(number)
            if found is not None:
                self._estimators.move_to_end(number)
                return found
        made = WorldEstimator(self.worlds.world(number), self._kept)
        with self._lock:
            self._estimators[number] = made
            while len(self._estimators) * made.nbytes > WORLD_BYTES and len(self._estimators) > self._at_once:
                self._estimators.popitem(last=False)
        return made


def _load(world: World, stage: str) -> _Load:
    problem = world.problem
    span_ns = int(problem.deadline_ns[stage].max()) - int(problem.trace.arrival_ns[0])
    return _Load(problem.visits[stage] - problem.late_allowed, span_ns)
