"""Planning with confidence: plan on many worlds, check on others, and say how the plan does on fresh ones.

The worlds that a plan is made on flatter it. So more of them must be met than asked for, the plan is checked on
worlds that the search has not seen, and when it fails there, those join the planning worlds. What is reported in the
end comes from fresh worlds that no decision has looked at.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from inferline.domain import Configuration
from planner.estimator import Estimator
from planner.outcome import Infeasible, Observe, Step
from planner.prediction import measure
from planner.problem import Problem
from planner.relaxation import Relaxation
from planner.uncertainty.confident import ConfidentEstimator
from planner.uncertainty.confident_search import cheapest_confident
from planner.uncertainty.world_shares import Share, met_in, required_worlds, world_counts
from planner.uncertainty.worlds import Profiles, Worlds

__all__ = ["FRESH", "Confident", "plan_with_confidence"]

CHECKED_FROM = 1_000_000
FRESH = 2_000_000
"""Numbers of the first checking and the first fresh world; planning worlds begin at 0."""

_ROUNDS = 3
_SAMPLE_CACHE_BYTES = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Confident:
    """A configuration that meets the SLO in most worlds, and the evidence.

    Parameters
    ----------
    confidence
        What was asked for.
    configuration
        What was found.
    lower_bound_nano_usd_per_hour
        No configuration that meets the SLO in that share of the planning worlds costs less.
    planned, required
        Over the planning worlds, and how many of them had to be met.
    checked
        Over the checking worlds of every round; those of all but the last were planned with afterwards.
    fresh
        Over worlds that no decision has looked at.
    plain, plain_fresh
        The plan without confidence, and its share of the same fresh worlds.
    out_of_time
        Whether the time limit ended the search.
    """

    confidence: float
    configuration: Configuration
    lower_bound_nano_usd_per_hour: int
    planned: Share
    required: int
    checked: tuple[Share, ...]
    fresh: Share
    plain: Configuration
    plain_fresh: Share
    out_of_time: bool


def plan_with_confidence(
    problem: Problem,
    profiles: Profiles,
    plain: Configuration,
    confidence: float,
    *,
    time_limit_s: float = 30.0,
    observe: Observe | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Confident | Infeasible:
    """Return the cheapest configuration found that meets the SLO in a share of the worlds.

    Parameters
    ----------
    problem, profiles
        What to plan; the profiles say how service times vary.
    plain
        The plan for the sampled trace, from which the search starts.
    confidence
        The share, in [0.5, 1).
    time_limit_s
        When the search ends; drawing, checking and validating worlds come on top.
    observe
        Told of every step.
    clock
        Monotonic seconds.
    """
    if not 0.5 <= confidence < 1:
        raise ValueError(f"confidence {confidence} is outside [0.5, 1)")
    until_s = clock() + time_limit_s
    worlds = Worlds(problem, profiles)
    planning, checking, fresh = world_counts(confidence, len(problem.trace))
    passed = math.ceil(round(checking * confidence - math.sqrt(checking * confidence * (1 - confidence)) / 2, 9))
    sample = Estimator(problem, cache_bytes=_SAMPLE_CACHE_BYTES)
    numbers = list(range(planning))
    candidate = plain
    checked: list[Share] = []
    unseen: Sequence[int] = ()
    while not checked or (checked[-1].met < passed and len(checked) < _ROUNDS):
        numbers += unseen
        _say(observe, f"drawing {len(numbers)} worlds", candidate)
        required = required_worlds(confidence, len(numbers))
        with closing(ConfidentEstimator(worlds, numbers, required, sample, lambda: clock() >= until_s)) as estimator:
            found = cheapest_confident(estimator, candidate, observe)
            if found is None:
                return _refused(estimator, candidate)
            candidate = found
            planned = Share(estimator.met(candidate), len(numbers))
            _say(observe, "bounding the cost from below", candidate)
            bound = _lower_bound(estimator, confidence)
        unseen = range(CHECKED_FROM + checking * len(checked), CHECKED_FROM + checking * (len(checked) + 1))
        _say(observe, f"checking on {checking} other worlds", candidate)
        checked += met_in(worlds, unseen, [candidate])
    shares = met_in(
        worlds,
        range(FRESH, FRESH + fresh),
        [candidate, plain],
        lambda done: _say(observe, f"validating on fresh worlds, {done} of {fresh}", candidate),
    )
    return Confident(
        confidence=confidence,
        configuration=candidate,
        lower_bound_nano_usd_per_hour=min(bound, candidate.cost_nano_usd_per_hour(problem.pipeline)),
        planned=planned,
        required=required,
        checked=tuple(checked),
        fresh=shares[0],
        plain=plain,
        plain_fresh=shares[1],
        out_of_time=clock() >= until_s,
    )


def _lower_bound(estimator: ConfidentEstimator, confidence: float) -> int:
    """Return what no configuration that meets the SLO in the asked share of the planning worlds goes below.

    Such a configuration meets all but ``may_fail`` worlds, so that of any ``may_fail + 1`` worlds it meets at least
    one, and costs at least the least of their own bounds; of ``may_fail + 1 + k`` worlds, at least ``k + 1`` of them.
    """
    count = len(estimator.numbers)
    may_fail = count - math.ceil(round(count * confidence, 9))
    bounds = []
    for number in estimator.hardest()[: 2 * (may_fail + 1)]:
        problem = estimator.worlds.world(number).problem
        bound = Relaxation(problem).bound_nano_usd_per_hour((None,) * len(problem.options))
        bounds.append(math.inf if bound is None else bound)
    reached = sorted(bounds, reverse=True)[may_fail]
    return 0 if math.isinf(reached) else int(reached)


def _refused(estimator: ConfidentEstimator, start: Configuration) -> Infeasible:
    predicted = measure(estimator.problem, start)
    spent = {name: each.budget_wait + each.budget_service for name, each in predicted.stages.items()}
    binding = max(spent, key=lambda name: spent[name])
    return Infeasible(
        stage=binding,
        best_latency_ns=round(predicted.at_slo_percentile_s * 1e9),
        proved=False,
        reason=(
            f"no plan was found that meets the SLO in {estimator.required} of {len(estimator.numbers)} resampled "
            f"worlds; the plan for the trace itself meets it in {estimator.met(start)}"
        ),
    )


def _say(observe: Observe | None, action: str, configuration: Configuration) -> None:
    if observe is not None:
        observe(Step(action=action, configuration=configuration))
