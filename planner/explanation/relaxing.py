"""What the least step back from a constraint would save: the problem without it, planned again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from inferline.domain import Configuration, Plan
from planner.estimator import Estimator
from planner.explanation.constraints import Constraint
from planner.outcome import Found, Infeasible, Step
from planner.plan import search
from planner.problem import Problem
from planner.variations import Profiles, varied

__all__ = ["Relaxed", "Verdict", "relax"]

Verdict = Literal["cheaper", "nothing", "unrelated", "undecided", "skipped"]
"""What relaxing a constraint does.

``cheaper``: it allows a cheaper plan, which is given. ``nothing``: proved, it allows none. ``unrelated``: there is a
cheaper plan, and it needs no relaxing; the planner missed it. ``undecided``: none was found in the time given, and
that there is none is not proved. ``skipped``: there was no time to look.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxed:
    """A constraint, and what became of the plan without its last step.

    Parameters
    ----------
    constraint
        What was relaxed.
    verdict
        See `Verdict`.
    configuration, cost_nano_usd_per_hour
        The cheaper plan and its cost, when there is one.
    """

    constraint: Constraint
    verdict: Verdict
    configuration: Configuration | None = None
    cost_nano_usd_per_hour: int | None = None


def relax(
    problem: Problem,
    profiles: Profiles,
    plan: Plan,
    bounds: Sequence[Constraint],
    *,
    time_limit_s: float,
    tell: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Relaxed, ...]:
    """Plan again without the last step of each constraint, with the planner that made the plan.

    Parameters
    ----------
    problem, profiles, plan
        What was planned, from which profiles, and the result.
    bounds
        What to relax, one at a time.
    time_limit_s
        For all of them; each may use an equal share of what is left.
    tell
        Told which one it is about to relax.
    clock
        Monotonic seconds.

    Raises
    ------
    KeyboardInterrupt
        When somebody ended one of the searches.
    """
    until_s = clock() + time_limit_s
    found = []
    for place, constraint in enumerate(bounds):
        left_s = until_s - clock()
        if left_s <= 0:
            found.append(Relaxed(constraint=constraint, verdict="skipped"))
            continue
        tell(f"relaxing {constraint.key}")
        until_this_s = clock() + left_s / (len(bounds) - place)
        found.append(_relaxed(problem, profiles, plan, constraint, until_this_s, clock))
    return tuple(found)


class _OutOfTimeError(Exception):
    """A greedy search, which knows no time limit, was ended between two of its steps."""


def _relaxed(
    problem: Problem,
    profiles: Profiles,
    plan: Plan,
    constraint: Constraint,
    until_s: float,
    clock: Callable[[], float],
) -> Relaxed:
    wider = varied(problem, profiles, pipeline=constraint.pipeline)

    def end_in_time(step: Step) -> None:
        if step.action != "prove" and clock() >= until_s:
            raise _OutOfTimeError

    try:
        answer = search(
            wider,
            plan.planner,
            time_limit_s=max(0.0, until_s - clock()),
            survive=constraint.survive,
            observe=end_in_time,
        )
    except _OutOfTimeError:
        return Relaxed(constraint=constraint, verdict="undecided")
    if isinstance(answer, Found) and answer.interrupted:
        raise KeyboardInterrupt
    cost = None if isinstance(answer, Infeasible) else answer.configuration.cost_nano_usd_per_hour(wider.pipeline)
    if isinstance(answer, Infeasible) or cost is None or cost >= plan.cost_nano_usd_per_hour:
        proved = isinstance(answer, Found) and answer.lower_bound_nano_usd_per_hour >= plan.cost_nano_usd_per_hour
        return Relaxed(constraint=constraint, verdict="nothing" if proved else "undecided")
    needed = not _allowed(problem, plan.survive, answer.configuration)
    return Relaxed(
        constraint=constraint,
        verdict="cheaper" if needed else "unrelated",
        configuration=answer.configuration,
        cost_nano_usd_per_hour=cost,
    )


def _allowed(problem: Problem, survive: int, configuration: Configuration) -> bool:
    """Whether a configuration lies in the declared space and meets the SLO, after losses too."""
    for stage in problem.pipeline.stages:
        chosen, options = configuration[stage.name], problem.options[stage.name]
        if chosen.hardware not in options or chosen.max_batch not in options[chosen.hardware].batch_sizes:
            return False
        if not stage.min_replicas <= chosen.replicas <= stage.max_replicas:
            return False
    return not configuration.exceeded_limits(problem.pipeline) and Estimator(problem, survive=survive).feasible(
        configuration
    )
