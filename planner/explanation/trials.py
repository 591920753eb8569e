"""Configurations held against the SLO: simulated once each, on all threads, as long as the allowance lasts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import numpy as np

from inferline.domain import Configuration
from inferline.domain.slo import nearest_rank
from planner.budget import Budget, budgets
from planner.estimator import Estimator
from planner.prediction import latency_ns
from planner.problem import Problem
from simulator import simulate

__all__ = ["Break", "Trial", "Trials"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """The stage at which a configuration falls behind the plan.

    Parameters
    ----------
    stage
        The stage at which the slowest queries lose most against the plan, waiting and service together.
    wait_ns, service_ns
        By how much their waiting and their service there grew.
    """

    stage: str
    wait_ns: float
    service_ns: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What the simulator says of a configuration on the problem's trace.

    Parameters
    ----------
    configuration, cost_nano_usd_per_hour
        What was tried, and its cost.
    latency_ns
        At the SLO's percentile.
    late
        Queries beyond the SLO's latency.
    slo_met
        Whether they are no more than the SLO allows.
    left
        When losses must be survived, the figures are those of the worst loss, and this is what is left then;
        otherwise the configuration itself.
    breaks
        Where it falls behind the plan; None when nobody asked.
    """

    configuration: Configuration
    cost_nano_usd_per_hour: int
    latency_ns: int
    late: int
    slo_met: bool
    left: Configuration
    breaks: Break | None = None


class Trials:
    """Simulates configurations of one problem and remembers what it saw.

    Parameters
    ----------
    problem
        What was planned.
    most_visits
        Visits to stages that may be simulated in all; what is beyond is left out and counted. A count, not a time:
        the same problem always gets the same trials.
    survive
        The SLO must also hold with this many replicas, or fewer, of any one stage gone.

    Attributes
    ----------
    survive
        As given.
    left_out
        Configurations that were not simulated, because the allowance was spent.
    """

    def __init__(self, problem: Problem, most_visits: int, survive: int = 0) -> None:
        self.problem = problem
        self.left_out = 0
        self.survive = survive
        self._estimator = Estimator(problem, survive=survive)
        self._visits_left = most_visits
        self._seen: dict[Configuration, Trial] = {}

    @property
    def tried(self) -> int:
        """Configurations simulated so far."""
        return len(self._seen)

    def fewest(self, stage: str) -> int:
        """Return the fewest replicas that the stage may have: by its declared minimum, and to survive losses."""
        return max(self.problem.pipeline.stage(stage).min_replicas, self.survive + 1)

    def least_replicas(self, stage: str, hardware: str, max_batch: int) -> int:
        """Return a number of replicas below which the stage cannot meet the SLO, by its total work alone."""
        return self._estimator.least_replicas(stage, hardware, max_batch)

    def run(self, configurations: Iterable[Configuration]) -> Mapping[Configuration, Trial]:
        """Return the trials of the configurations, without those that the allowance leaves out."""
        asked = list(dict.fromkeys(configurations))
        new = [each for each in asked if each not in self._seen]
        visits = sum(self.problem.visits.values()) * (1 + self.survive * len(self.problem.options))
        affordable = new[: self._visits_left // visits]
        self._visits_left -= len(affordable) * visits
        self.left_out += len(new) - len(affordable)
        for trial in self._estimator.evaluate([partial(self._trial, each) for each in affordable]):
            self._seen[trial.configuration] = trial
        return MappingProxyType({each: self._seen[each] for each in asked if each in self._seen})

    def one(self, configuration: Configuration) -> Trial:
        """Return the trial of a configuration, whatever the allowance."""
        if configuration not in self._seen:
            self._seen[configuration] = self._trial(configuration)
        return self._seen[configuration]

    def broken(self, trials: Sequence[Trial], plan: Mapping[str, Budget]) -> list[Trial]:
        """Return the trials with where each falls behind the plan, whose budgets are given."""
        breaks = self._estimator.evaluate([partial(self._break, each.left, plan) for each in trials])
        return [replace(each, breaks=broken) for each, broken in zip(trials, breaks, strict=True)]

    def _trial(self, configuration: Configuration) -> Trial:
        """Simulate a configuration, and all that may be left of it; the worst one counts."""
        cases = [configuration, *_losses(configuration, self.survive)]
        seen = [self._figures(each) for each in cases]
        worst = max(range(len(cases)), key=lambda place: seen[place])
        late, at_ns = seen[worst]
        return Trial(
            configuration=configuration,
            cost_nano_usd_per_hour=configuration.cost_nano_usd_per_hour(self.problem.pipeline),
            latency_ns=at_ns,
            late=late,
            slo_met=late <= self.problem.late_allowed,
            left=cases[worst],
        )

    def _figures(self, configuration: Configuration) -> tuple[int, int]:
        """Return the late queries and the latency at the SLO's percentile."""
        slo = self.problem.pipeline.slo
        latency = latency_ns(self.problem, configuration)
        rank = nearest_rank(slo.percentile, latency.size)
        late = int(np.count_nonzero(latency > slo.latency_ns))
        return late, int(np.partition(latency, rank - 1)[rank - 1])

    def _break(self, configuration: Configuration, plan: Mapping[str, Budget]) -> Break:
        problem = self.problem
        result = simulate(problem.network(configuration), problem.trace.arrival_ns, problem.routes)
        spent = budgets(problem, configuration, result)
        stage = max(spent, key=lambda name: spent[name].total_ns - plan[name].total_ns)
        return Break(
            stage=stage,
            wait_ns=spent[stage].wait_ns - plan[stage].wait_ns,
            service_ns=spent[stage].service_ns - plan[stage].service_ns,
        )


def _losses(configuration: Configuration, survive: int) -> Iterator[Configuration]:
    """Yield what is left of a configuration when up to so many replicas of one stage are gone."""
    for name, chosen in configuration.items():
        for lost in range(1, survive + 1):
            yield configuration.with_stage(name, replace(chosen, replicas=chosen.replicas - lost))
