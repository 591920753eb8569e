"""What planners say on the way, and what they answer: a configuration with a bound, or a reason - never None."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from inferline.domain import Configuration
from inferline.domain.slo import nearest_rank
from inferline.units import format_duration
from planner.problem import Problem

__all__ = ["Found", "Infeasible", "Observe", "Step", "unloaded_verdict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Where a search is.

    Parameters
    ----------
    action
        What was done last.
    configuration
        The best so far that the search stands on; None when there is none yet.
    bound_nano_usd_per_hour
        What no plan can go below, as far as is known; None when the search does not say.
    """

    action: str
    configuration: Configuration | None
    bound_nano_usd_per_hour: int | None = None


Observe = Callable[[Step], None]
"""Told of every step of a search."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The answer of a planner.

    Parameters
    ----------
    configuration
        Meets the SLO.
    lower_bound_nano_usd_per_hour
        No configuration that meets the SLO costs less; equal to the cost when the optimum is proved.
    interrupted
        Whether somebody ended the search before its end.
    """

    configuration: Configuration
    lower_bound_nano_usd_per_hour: int
    interrupted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Infeasible:
    """No configuration that meets the SLO was found.

    Parameters
    ----------
    stage
        The stage that binds.
    best_latency_ns
        The best latency at the SLO's percentile that was reached.
    proved
        Whether no configuration in the declared space can meet the SLO, as opposed to: none was found.
    reason
        One sentence: why that stage binds.
    interrupted
        Whether somebody ended the search before its end.
    """

    stage: str
    best_latency_ns: int
    proved: bool
    reason: str
    interrupted: bool = False

    def sentence(self, problem: Problem) -> str:
        """Return the whole answer for the user."""
        slo = problem.pipeline.slo
        certainty = "no configuration meets" if self.proved else "found no configuration that meets"
        return (
            f"{problem.pipeline.name}: {certainty} the SLO of {format_duration(slo.latency_ns)} "
            f"at P{slo.percentile}; stage {self.stage!r} binds: {self.reason}; "
            f"the best reachable P{slo.percentile} is {format_duration(self.best_latency_ns)}"
        )


def unloaded_verdict(problem: Problem) -> Infeasible | None:
    """Return the proof of infeasibility by service times alone, or None when they leave room.

    When too many queries would be late even if none ever waited and every stage ran its fastest option, no
    configuration meets the SLO. The stage that binds is the slowest that the late queries must visit.
    """
    slo = problem.pipeline.slo
    late = problem.unloaded_ns > slo.latency_ns
    if np.count_nonzero(late) <= problem.late_allowed:
        return None
    rank = nearest_rank(slo.percentile, len(problem.trace))
    best_ns = int(np.partition(problem.unloaded_ns, rank - 1)[rank - 1])
    least = {
        name: min(option.least_latency_ns for option in options.values()) for name, options in problem.options.items()
    }
    visited = [name for name in least if problem.visits[name] > problem.late_allowed] or list(least)
    slowest = max(visited, key=lambda name: least[name])
    return Infeasible(
        stage=slowest,
        best_latency_ns=best_ns,
        proved=True,
        reason=f"its fastest allowed option alone takes {format_duration(least[slowest])}, without any waiting",
    )
