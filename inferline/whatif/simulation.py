"""What a configuration would do on the traffic of a study, as arrays, tables and pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from inferline.domain import Configuration, Pipeline, Prediction
from inferline.domain.slo import nearest_rank
from inferline.errors import InputError
from inferline.pictures import Picture, draw_budget, draw_latency
from inferline.units import NANO, format_duration, format_usd
from planner import Problem, predict
from simulator import simulate

__all__ = ["Simulation", "run", "stage_frame"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Simulation:
    """What one configuration would do; made by `Study.simulate`.

    Parameters
    ----------
    pipeline
        What was simulated, with its SLO.
    configuration
        Hardware, maximum batch size and replicas of each stage.
    latency_s
        float64 (queries,), read-only: end-to-end latency of every query, in the order of their arrivals.
    predicted
        Percentiles, attainment and the figures of each stage.
    """

    pipeline: Pipeline
    configuration: Configuration
    latency_s: NDArray[np.float64]
    predicted: Prediction

    @property
    def cost_usd_per_hour(self) -> float:
        """What the configuration costs."""
        return self.configuration.cost_nano_usd_per_hour(self.pipeline) / NANO

    @property
    def attainment(self) -> float:
        """Share of the queries that are within the SLO's latency."""
        return self.predicted.slo_attainment

    @property
    def miss_rate(self) -> float:
        """Share of the queries that are late."""
        return self.predicted.miss_rate

    @property
    def slo_met(self) -> bool:
        """Whether the latency at the SLO's percentile is at most the SLO's latency."""
        return self.predicted.slo_met

    @property
    def stages(self) -> pd.DataFrame:
        """One row per stage: configuration, load, waiting and service times, shares of the SLO."""
        return stage_frame(self.pipeline, self.configuration, self.predicted)

    def percentile(self, percentile: float) -> float:
        """Return the latency in seconds at a percentile in (0, 100], by nearest rank."""
        try:
            at = Decimal(str(percentile))
        except InvalidOperation:
            at = Decimal("NaN")
        if not at.is_finite() or not 0 < at <= 100:
            raise InputError(f"percentile {percentile!r} is not above 0 and at most 100")
        rank = nearest_rank(at, self.latency_s.size)
        return float(np.partition(self.latency_s, rank - 1)[rank - 1])

    def plot_latency(self) -> Picture:
        """Draw the latency distribution and its tail, with the SLO."""
        return draw_latency(self.latency_s, self.pipeline.slo)

    def plot_budget(self) -> Picture:
        """Draw what the slowest queries spend of the SLO at each stage, waiting and in service."""
        return draw_budget(self.predicted, self.pipeline.slo)

    def __repr__(self) -> str:
        slo, seen = self.pipeline.slo, self.predicted
        cost = format_usd(self.configuration.cost_nano_usd_per_hour(self.pipeline))
        return (
            f"Simulation({self.pipeline.name}: {cost}/h, "
            f"P{slo.percentile} {format_duration(seen.at_slo_percentile_s * NANO)} "
            f"of {format_duration(slo.latency_ns)}: SLO {'met' if seen.slo_met else 'MISSED'}, "
            f"{seen.miss_rate:.2%} of {seen.queries:,} queries late)"
        )


def run(problem: Problem, configuration: Configuration) -> Simulation:
    """Simulate a configuration on the trace of a problem.

    Raises
    ------
    InputError
        With every stage whose configuration the problem does not know.
    """
    if faults := _faults(problem, configuration):
        raise InputError(*faults)
    result = simulate(problem.network(configuration), problem.trace.arrival_ns, problem.routes)
    latency_s = result.latency_ns / NANO
    latency_s.flags.writeable = False
    return Simulation(problem.pipeline, configuration, latency_s, predict(problem, configuration, result))


def _faults(problem: Problem, configuration: Configuration) -> list[str]:
    """Return what cannot be simulated; limits and replica bounds are the planner's business and may be passed."""
    faults = [f"no stage {name!r} in the pipeline" for name in configuration if name not in problem.options]
    for name, options in problem.options.items():
        if name not in configuration:
            faults.append(f"stage {name!r} has no configuration")
            continue
        chosen = configuration[name]
        if chosen.hardware not in options:
            faults.append(f"stage {name!r}: no hardware {chosen.hardware!r}; it may use {', '.join(options)}")
        elif chosen.max_batch > (most := options[chosen.hardware].batch_sizes[-1]):
            faults.append(f"stage {name!r}: maximum batch size {chosen.max_batch}; at most {most} is profiled")
    return faults


def stage_frame(pipeline: Pipeline, configuration: Configuration, predicted: Prediction) -> pd.DataFrame:
    """Return one row per stage, in topological order."""
    rows = {}
    for stage in pipeline.stages:
        chosen, seen = configuration[stage.name], predicted.stages[stage.name]
        rows[stage.name] = {
            "hardware": chosen.hardware,
            "replicas": chosen.replicas,
            "max_batch": chosen.max_batch,
            "cost_usd_per_hour": pipeline.unit(chosen.hardware).price_nano_usd_per_hour * chosen.replicas / NANO,
            "utilisation": seen.utilisation,
            "mean_batch": seen.mean_batch if seen.visits else math.nan,
            "wait_mean_s": seen.wait_mean_s,
            "wait_p99_s": seen.wait_p99_s,
            "service_mean_s": seen.service_mean_s,
            "service_p99_s": seen.service_p99_s,
            "budget_wait": seen.budget_wait,
            "budget_service": seen.budget_service,
            "visits": seen.visits,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("stage")
