"""From a simulation to what a plan says: percentiles, per-stage figures, and where the latency budget goes."""

from __future__ import annotations

from decimal import Decimal
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Configuration, Prediction, StagePrediction
from inferline.domain.slo import nearest_rank
from inferline.units import NANO
from planner.budget import Budget, budgets
from planner.problem import Problem
from simulator import Result, StationResult, simulate

__all__ = ["latency_ns", "measure", "predict"]

Instants = NDArray[np.int64]


def measure(
    problem: Problem, configuration: Configuration, engine: Literal["kernel", "reference"] = "kernel"
) -> Prediction:
    """Simulate a configuration on the problem's trace and say what to expect of it."""
    result = simulate(problem.network(configuration), problem.trace.arrival_ns, problem.routes, engine)
    return predict(problem, configuration, result)


def latency_ns(problem: Problem, configuration: Configuration) -> Instants:
    """Return the end-to-end latency of every query; int64 (queries,)."""
    network = problem.network(configuration)
    return simulate(network, problem.trace.arrival_ns, problem.routes, record_visits=False).latency_ns


def predict(problem: Problem, configuration: Configuration, result: Result) -> Prediction:
    """Return the prediction that a simulation of the problem's trace gives.

    Parameters
    ----------
    problem
        Gives the arrivals, routes and SLO.
    configuration
        What was simulated.
    result
        With its visits recorded.
    """
    slo = problem.pipeline.slo
    queries = len(problem.trace)
    ranks = {p: nearest_rank(p, queries) for p in (*_REPORTED, slo.percentile)}
    places = sorted({rank - 1 for rank in ranks.values()})
    ordered = np.partition(result.latency_ns, places)
    at = {p: int(ordered[rank - 1]) for p, rank in ranks.items()}
    late = int(np.count_nonzero(result.latency_ns > slo.latency_ns))
    first_ns = int(problem.trace.arrival_ns[0])
    end_ns = int((result.latency_ns + problem.trace.arrival_ns).max())
    spent = budgets(problem, configuration, result)
    p50, p95, p99 = _REPORTED
    return Prediction(
        p50_s=at[p50] / NANO,
        p95_s=at[p95] / NANO,
        p99_s=at[p99] / NANO,
        at_slo_percentile_s=at[slo.percentile] / NANO,
        slo_attainment=(queries - late) / queries,
        queries=queries,
        slo_met=at[slo.percentile] <= slo.latency_ns,
        stages=MappingProxyType(
            {
                name: _stage(station, configuration[name].replicas, end_ns - first_ns, spent[name], slo.latency_ns)
                for name, station in result.stations.items()
            }
        ),
    )


_REPORTED = (Decimal(50), Decimal(95), Decimal(99))


def _stage(station: StationResult, replicas: int, span_ns: int, spent: Budget, slo_ns: int) -> StagePrediction:
    visits = station.visits
    wait_ns, service_ns = station.wait_ns, station.service_ns
    return StagePrediction(
        utilisation=station.busy_ns / (replicas * span_ns) if span_ns else 0.0,
        mean_batch=visits / station.batches if visits else 0.0,
        wait_p99_s=_p99_s(wait_ns),
        service_p99_s=_p99_s(service_ns),
        wait_mean_s=float(wait_ns.mean()) / NANO if visits else 0.0,
        service_mean_s=float(service_ns.mean()) / NANO if visits else 0.0,
        budget_wait=spent.wait_ns / slo_ns,
        budget_service=spent.service_ns / slo_ns,
        visits=visits,
    )


def _p99_s(times_ns: Instants) -> float:
    if times_ns.size == 0:
        return 0.0
    rank = nearest_rank(_REPORTED[2], times_ns.size)
    return int(np.partition(times_ns, rank - 1)[rank - 1]) / NANO
