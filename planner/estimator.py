"""The estimator says whether a configuration meets the SLO on the trace, and with replicas lost if need be."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from inferline.domain import Configuration, StageConfiguration
from planner.prefixes import Prefixes
from planner.problem import Problem

__all__ = ["Estimator"]

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
    """

    def __init__(
        self, problem: Problem, *, threads: int = THREADS, cache_bytes: int = CACHE_BYTES, survive: int = 0
    ) -> None:
        self.problem = problem
        self.survive = survive
        self.threads = threads
        self._kept = cache_bytes // (12 * len(problem.trace))
        self._prefixes = Prefixes(problem, lambda stage, chosen: (problem.latency_ns(stage, chosen), None))
        self._verdicts: dict[Configuration, bool] = {}
        self._least_replicas: dict[tuple[str, str, int], int] = {}

    @property
    def simulated(self) -> int:
        """Stations simulated so far."""
        return self._prefixes.simulated

    @property
    def reused(self) -> int:
        """Stations whose departures were there already."""
        return self._prefixes.reused

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
        self._prefixes.keep(self._kept)

    def _judge(self, configuration: Configuration) -> bool:
        for name, chosen in configuration.items():
            if chosen.replicas < self.least_replicas(name, chosen.hardware, chosen.max_batch) - self.survive:
                return False
        return self._prefixes.meets(configuration)


def _losses(configuration: Configuration, survive: int) -> Iterator[Configuration]:
    """Yield the configurations that are left when up to so many replicas of one stage are gone."""
    for name, chosen in configuration.items():
        for lost in range(1, survive + 1):
            left = StageConfiguration(
                hardware=chosen.hardware, max_batch=chosen.max_batch, replicas=chosen.replicas - lost
            )
            yield configuration.with_stage(name, left)
