"""From a problem to a plan: run a planner, and put the evidence beside its configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from inferline.calculus import traffic_envelope
from inferline.domain import Configuration, Plan, Prediction
from planner.bounds import lower_bound_nano_usd_per_hour
from planner.coarse import coarse
from planner.estimator import Estimator
from planner.greedy import Observe, greedy
from planner.outcome import Infeasible, unloaded_verdict
from planner.prediction import measure
from planner.problem import Problem

__all__ = ["PLANNERS", "Baseline", "baselines", "make_plan", "plan_of"]


def _coarse_mean(estimator: Estimator, observe: Observe | None = None) -> Configuration | Infeasible:
    return _checked(estimator, "cg-mean", coarse(estimator.problem, "mean"), observe)


def _coarse_peak(estimator: Estimator, observe: Observe | None = None) -> Configuration | Infeasible:
    return _checked(estimator, "cg-peak", coarse(estimator.problem, "peak"), observe)


PLANNERS: Mapping[str, Callable[[Estimator, Observe | None], Configuration | Infeasible]] = MappingProxyType(
    {"greedy": greedy, "cg-mean": _coarse_mean, "cg-peak": _coarse_peak}
)
"""Every planner, by the name that the command line knows."""


def make_plan(
    problem: Problem, planner: str, inputs: Mapping[str, str], observe: Observe | None = None
) -> Plan | Infeasible:
    """Plan a problem.

    Parameters
    ----------
    problem
        What to plan.
    planner
        A name in `PLANNERS`.
    inputs
        SHA-256 of the files that the problem came from.
    observe
        Told of every step of the search.
    """
    estimator = Estimator(problem)
    answer = PLANNERS[planner](estimator, observe)
    if isinstance(answer, Infeasible):
        return answer
    return plan_of(problem, answer, planner, inputs, lower_bound_nano_usd_per_hour(estimator))


def plan_of(
    problem: Problem,
    configuration: Configuration,
    planner: str,
    inputs: Mapping[str, str],
    lower_bound_nano_usd: int,
) -> Plan:
    """Return the plan that a configuration makes: its prediction, cost, bound and traffic envelope."""
    pipeline = problem.pipeline
    cost = configuration.cost_nano_usd_per_hour(pipeline)
    return Plan(
        pipeline=pipeline.name,
        status="optimal" if lower_bound_nano_usd >= cost else "feasible",
        planner=planner,
        slo=pipeline.slo,
        models=MappingProxyType({stage.name: stage.model for stage in pipeline.stages}),
        configuration=configuration,
        cost_nano_usd_per_hour=cost,
        lower_bound_nano_usd_per_hour=min(lower_bound_nano_usd, cost),
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
        observe(name, configuration)
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
