"""From a problem to a plan: run a planner, and put the evidence beside its configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from inferline.calculus import traffic_envelope
from inferline.domain import Configuration, Plan, Prediction
from planner.coarse import coarse
from planner.estimator import Estimator
from planner.exact import exact
from planner.greedy import greedy
from planner.outcome import Found, Infeasible, Observe, Step, unloaded_verdict
from planner.prediction import measure
from planner.problem import Problem
from planner.relaxation import Relaxation

__all__ = ["PLANNERS", "TIME_LIMIT_S", "Baseline", "baselines", "make_plan", "plan_of", "search"]


def _exact(estimator: Estimator, time_limit_s: float, observe: Observe | None) -> Found | Infeasible:
    return exact(estimator, time_limit_s=time_limit_s, observe=observe)


def _greedy(estimator: Estimator, _: float, observe: Observe | None) -> Found | Infeasible:
    return _bounded(estimator, greedy(estimator, observe))


def _coarse_mean(estimator: Estimator, _: float, observe: Observe | None) -> Found | Infeasible:
    return _bounded(estimator, _checked(estimator, "cg-mean", coarse(estimator.problem, "mean"), observe))


def _coarse_peak(estimator: Estimator, _: float, observe: Observe | None) -> Found | Infeasible:
    return _bounded(estimator, _checked(estimator, "cg-peak", coarse(estimator.problem, "peak"), observe))


Planner = Callable[[Estimator, float, Observe | None], Found | Infeasible]

PLANNERS: Mapping[str, Planner] = MappingProxyType(
    {"exact": _exact, "greedy": _greedy, "cg-mean": _coarse_mean, "cg-peak": _coarse_peak}
)
"""Every planner, by the name that the command line knows: estimator, time limit in seconds and observer in."""

TIME_LIMIT_S = 30.0


def search(
    problem: Problem,
    planner: str,
    *,
    time_limit_s: float = TIME_LIMIT_S,
    survive: int = 0,
    observe: Observe | None = None,
) -> Found | Infeasible:
    """Run a planner on a problem.

    Parameters
    ----------
    problem
        What to plan.
    planner
        A name in `PLANNERS`.
    time_limit_s
        When the exact planner stops with the best so far and a bound.
    survive
        The SLO must also hold with this many replicas, or fewer, of any one stage gone.
    observe
        Told of every step of the search.
    """
    return PLANNERS[planner](Estimator(problem, survive=survive), time_limit_s, observe)


def make_plan(
    problem: Problem,
    planner: str,
    inputs: Mapping[str, str],
    *,
    time_limit_s: float = TIME_LIMIT_S,
    survive: int = 0,
    observe: Observe | None = None,
) -> Plan | Infeasible:
    """Plan a problem: `search`, and `plan_of` what it finds."""
    answer = search(problem, planner, time_limit_s=time_limit_s, survive=survive, observe=observe)
    return answer if isinstance(answer, Infeasible) else plan_of(problem, answer, planner, inputs, survive)


def _bounded(estimator: Estimator, answer: Configuration | Infeasible) -> Found | Infeasible:
    """Put the bound of the relaxation beside the answer of a planner that proves nothing itself."""
    if isinstance(answer, Infeasible):
        return answer
    problem = estimator.problem
    bound = Relaxation(problem, estimator.survive).bound_nano_usd_per_hour((None,) * len(problem.options))
    cost = answer.cost_nano_usd_per_hour(problem.pipeline)
    # A relaxation that nothing meets would have refuted the answer.
    return Found(configuration=answer, lower_bound_nano_usd_per_hour=min(cost, bound or 0))


def plan_of(problem: Problem, found: Found, planner: str, inputs: Mapping[str, str], survive: int = 0) -> Plan:
    """Return the plan that a planner's answer makes, with its prediction and traffic envelope.

    Parameters
    ----------
    problem, found, planner
        What was planned, the answer, and the name of the planner.
    inputs
        SHA-256 of the files that the problem came from.
    survive
        Replicas of any one stage that may be gone.
    """
    pipeline = problem.pipeline
    configuration, bound = found.configuration, found.lower_bound_nano_usd_per_hour
    cost = configuration.cost_nano_usd_per_hour(pipeline)
    return Plan(
        pipeline=pipeline.name,
        status="optimal" if bound >= cost else "feasible",
        planner=planner,
        survive=survive,
        slo=pipeline.slo,
        models=MappingProxyType({stage.name: stage.model for stage in pipeline.stages}),
        configuration=configuration,
        cost_nano_usd_per_hour=cost,
        lower_bound_nano_usd_per_hour=bound,
        predicted=measure(problem, configuration),
        envelope=traffic_envelope(problem.trace, _service_time_ns(problem, configuration)),
        inputs=MappingProxyType(dict(inputs)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What a coarse-grained baseline would run, and how it would do.

    Parameters
    ----------
    name
        ``cg-mean`` or ``cg-peak``.
    configuration, cost_nano_usd_per_hour
        What it runs and costs.
    predicted
        By the same simulator on the same trace.
    """

    name: str
    configuration: Configuration
    cost_nano_usd_per_hour: int
    predicted: Prediction


def baselines(problem: Problem) -> tuple[Baseline, ...]:
    """Return CG-Mean and CG-Peak on the problem, whether they meet its SLO or not."""
    found = (("cg-mean", coarse(problem, "mean")), ("cg-peak", coarse(problem, "peak")))
    return tuple(
        Baseline(
            name=name,
            configuration=configuration,
            cost_nano_usd_per_hour=configuration.cost_nano_usd_per_hour(problem.pipeline),
            predicted=measure(problem, configuration),
        )
        for name, configuration in found
    )


def _checked(
    estimator: Estimator, name: str, configuration: Configuration, observe: Observe | None
) -> Configuration | Infeasible:
    """Hold a baseline against the SLO, the replica bounds and the hardware limits."""
    problem = estimator.problem
    verdict = unloaded_verdict(problem)
    if verdict is not None:
        return verdict
    if observe is not None:
        observe(Step(action=name, configuration=configuration))
    above = [s.name for s in problem.pipeline.stages if configuration[s.name].replicas > s.max_replicas]
    limited = configuration.exceeded_limits(problem.pipeline)
    above += [s for s, chosen in configuration.items() if chosen.hardware in limited]
    if not above and estimator.feasible(configuration):
        return configuration
    predicted = measure(problem, configuration)
    shares = {s: each.budget_wait + each.budget_service for s, each in predicted.stages.items()}
    binding = above[0] if above else max(shares, key=lambda s: shares[s])
    chosen = configuration[binding]
    why = "more than its bound or the hardware's limit allows" if above else "too few for the trace's bursts"
    return Infeasible(
        stage=binding,
        best_latency_ns=round(predicted.at_slo_percentile_s * 1e9),
        proved=False,
        reason=f"{name} gives it {chosen.replicas} replicas on {chosen.hardware}, {why}",
    )


def _service_time_ns(problem: Problem, configuration: Configuration) -> int:
    """Return the service time of the pipeline: its longest path at full batches."""
    longest: dict[str, int] = {}
    for stage in problem.pipeline.stages:
        before = max((longest[edge.parent] for edge in stage.parents), default=0)
        longest[stage.name] = before + int(problem.latency_ns(stage.name, configuration[stage.name])[-1])
    return max(longest.values())
