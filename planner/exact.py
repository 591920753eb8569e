"""The exact planner: branch and bound with sound pruning only.

The search has two levels. The outer one branches over the hardware of the stages, best bound first; the bound of a
choice is the sum of the replicas that `planner.relaxation` finds indispensable. The inner one walks depth-first over
replicas and batch sizes of the stages in topological order and simulates each stage on what its parents really send.
A branch is cut when its cost cannot beat the best plan known, when the relaxation on the real arrivals rules it out,
or when the simulation has too many queries late already. Configurations that provably act the same - larger batches
than were ever formed, more replicas than were ever busy - are simulated once. `docs/background/proof.md` has the
argument.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable

from inferline.domain import Configuration
from planner.depth_first import Incumbent, Interrupted, Walk
from planner.estimator import Estimator
from planner.greedy import greedy
from planner.outcome import Found, Infeasible, Observe, Step, unloaded_verdict
from planner.relaxation import Hardware, Relaxation

__all__ = ["exact"]


def exact(
    estimator: Estimator,
    *,
    time_limit_s: float = 30.0,
    observe: Observe | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Found | Infeasible:
    """Return the cheapest configuration that meets the SLO, or the best found with a bound.

    Parameters
    ----------
    estimator
        Of the problem to plan; the greedy plan, from which the search starts, is found with it.
    time_limit_s
        The search stops after this time with the best configuration so far. So does an interrupt.
    observe
        Told of the steps of the greedy search, then of the best plan and the bound a few times per second.
    clock
        Monotonic seconds.
    """
    problem = estimator.problem
    verdict = unloaded_verdict(problem)
    if verdict is not None:
        return verdict
    until_s = clock() + time_limit_s
    first = greedy(estimator, observe)
    search = _Search(estimator, None if isinstance(first, Infeasible) else first, until_s, clock)
    search.run(observe)
    incumbent = search.incumbent
    if incumbent.configuration is None:
        assert isinstance(first, Infeasible), "without an incumbent the greedy search found none"
        proved = search.bound() is None
        return Infeasible(
            stage=first.stage,
            best_latency_ns=first.best_latency_ns,
            proved=proved,
            reason=first.reason,
            interrupted=search.interrupted,
        )
    bound = search.bound()
    cost = incumbent.cost_nano_usd
    return Found(
        configuration=incumbent.configuration,
        lower_bound_nano_usd_per_hour=cost if bound is None else bound,
        interrupted=search.interrupted,
    )


class _Search:
    """The outer search: choices of hardware by bound, given to one walk per thread."""

    def __init__(
        self, estimator: Estimator, first: Configuration | None, until_s: float, clock: Callable[[], float]
    ) -> None:
        self.problem = estimator.problem
        self.incumbent = Incumbent(self.problem, first)
        self.relaxation = Relaxation(self.problem, estimator.survive)
        self._until_s, self._clock = until_s, clock
        self._changed = threading.Condition()
        self._open: list[tuple[int, tuple[int, ...], Hardware]] = []
        self._walked: dict[int, int] = {}
        self._walks = [
            Walk(self.problem, self.incumbent, self.out_of_time, estimator.survive) for _ in range(estimator.threads)
        ]
        self.interrupted = False
        self._names = [tuple(self.problem.options[stage.name]) for stage in self.problem.pipeline.stages]
        self._push((None,) * len(self._names))

    def out_of_time(self) -> bool:
        """Whether the search must end."""
        return self.interrupted or self._clock() >= self._until_s

    def bound(self) -> int | None:
        """Return the least bound of what is still open, or None when nothing is: the incumbent is optimal."""
        with self._changed:
            still = [*self._walked.values(), *(entry[0] for entry in self._open[:1])]
            return min((bound for bound in still if bound < self.incumbent.cost_nano_usd), default=None)

    def run(self, observe: Observe | None) -> None:
        """Search until nothing is open or the time is over."""
        threads = [
            threading.Thread(target=self._work, args=(place,), daemon=True) for place in range(len(self._walks))
        ]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                for thread in threads:
                    thread.join(0.1)
                if observe is not None:
                    bound = self.bound()
                    known = self.incumbent.cost_nano_usd if bound is None else bound
                    observe(
                        Step(
                            action="prove", configuration=self.incumbent.configuration, bound_nano_usd_per_hour=known
                        )
                    )
        except KeyboardInterrupt:
            # The best plan so far is an answer, with a true bound: keep it.
            self.interrupted = True
            for thread in threads:
                thread.join()

    def _work(self, place: int) -> None:
        """Take open choices, best bound first, and branch them or walk them, until none can lead to a better plan."""
        while True:
            with self._changed:
                while not self._open and self._walked and not self.out_of_time():
                    self._changed.wait(0.1)
                if not self._open or self.out_of_time():
                    return
                bound, rank, chosen = heapq.heappop(self._open)
                if bound > self.incumbent.within(rank):
                    self._open.clear()  # every other one is at least as dear
                    continue
                self._walked[place] = bound
            try:
                if None in chosen:
                    for child in self._branches(chosen):
                        self._push(child)
                else:
                    self._walks[place].walk(chosen, rank, self.relaxation)
            except Interrupted:
                with self._changed:
                    heapq.heappush(self._open, (bound, rank, chosen))
            finally:
                with self._changed:
                    del self._walked[place]
                    self._changed.notify_all()

    def _branches(self, chosen: Hardware) -> list[Hardware]:
        """Return the choices that fix the hardware of one more stage: the one whose bound differs most by it."""
        place = chosen.index(None)
        return [(*chosen[:place], hardware, *chosen[place + 1 :]) for hardware in self._names[place]]

    def _push(self, chosen: Hardware) -> None:
        bound = self.relaxation.bound_nano_usd_per_hour(chosen)
        rank = tuple(
            -1 if hardware is None else names.index(hardware)
            for hardware, names in zip(chosen, self._names, strict=True)
        )
        with self._changed:
            if bound is not None and bound <= self.incumbent.within(rank):
                heapq.heappush(self._open, (bound, rank, chosen))
