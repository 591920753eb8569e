"""A study: a pipeline with its profiles and traffic, to plan, to simulate, and to ask what if."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import pandas as pd

from inferline import files
from inferline.domain import Configuration, Pipeline, Plan, Prediction, Profile, Trace
from inferline.errors import InfeasibleError, InputError
from inferline.pictures import Picture, draw_costs, draw_traffic
from inferline.units import MAX_TIME_NS, NANO, format_duration
from inferline.whatif import changes
from inferline.whatif.simulation import Simulation, run
from inferline.whatif.study_plan import StudyPlan
from planner import PLANNERS, TIME_LIMIT_S, Infeasible, Problem, baselines, make_plan, pose

__all__ = ["Study", "load", "plot_compare"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Study:
    """A pipeline, its profiles and its traffic; made by `load`. Nothing changes it: `with_...` returns another.

    Parameters
    ----------
    pipeline
        Stages, hardware and SLO.
    profiles
        By (model, hardware).
    trace
        Arrivals to plan for.
    digests
        SHA-256 of the files that hold as they were read; what a change touches is left out.
    """

    pipeline: Pipeline
    profiles: Mapping[tuple[str, str], Profile]
    trace: Trace
    digests: Mapping[str, str]

    def plan(self, planner: str = "exact", *, time_limit_s: float = TIME_LIMIT_S) -> StudyPlan:
        """Find the cheapest configuration that meets the SLO.

        Parameters
        ----------
        planner
            ``greedy`` (the published search), ``exact`` (proves its answer, or says how far it is from proved), or
            the baselines ``cg-mean`` and ``cg-peak``.
        time_limit_s
            When the exact planner stops with the best so far.

        Raises
        ------
        InfeasibleError
            When none was found; says which stage binds and what the best reachable latency is.
        InputError
            When there is no such planner.
        """
        if planner not in PLANNERS:
            raise InputError(f"planner {planner!r} is unknown; use {', '.join(PLANNERS)}")
        problem = self._problem()
        answer = make_plan(problem, planner, self.digests, time_limit_s=time_limit_s)
        if isinstance(answer, Infeasible):
            raise InfeasibleError(answer.sentence(problem))
        return StudyPlan(problem, answer)

    def simulate(self, configuration: StudyPlan | Plan | Configuration) -> Simulation:
        """Say what a configuration - of this study's plan or of another's - would do on this study's traffic.

        Raises
        ------
        InputError
            When it does not fit the pipeline or its profiles.
        """
        chosen = configuration if isinstance(configuration, Configuration) else configuration.configuration
        return run(self._problem(), chosen)

    def baselines(self) -> pd.DataFrame:
        """Return what coarse-grained provisioning (CG-Mean, CG-Peak) would cost, and how many queries it misses."""
        rows = {
            each.name: _row(each.cost_nano_usd_per_hour, each.predicted, each.configuration)
            for each in baselines(self._problem())
        }
        return _frame(rows, "baseline")

    def compare(self, others: Mapping[str, Study | StudyPlan], planner: str = "exact") -> pd.DataFrame:
        """Plan this study and others, and put their costs side by side; one row each, this one first.

        Parameters
        ----------
        others
            Name to study; a plan that is there already is not made again.
        planner
            As for `plan`.

        Returns
        -------
        pandas.DataFrame
            Status, cost, P99, miss rate and the replicas of each stage. A study that has no plan keeps its row:
            ``status`` is ``infeasible`` and its figures are missing.
        """
        if _HERE in others:
            raise InputError(f"compare: the name {_HERE!r} is taken by the study itself")
        rows: dict[str, dict[str, object]] = {}
        for name, each in {_HERE: self, **others}.items():
            try:
                made = each if isinstance(each, StudyPlan) else each.plan(planner)
            except InfeasibleError:
                rows[name] = {"status": "infeasible", **dict.fromkeys(_FIGURES, math.nan)}
                continue
            row = _row(made.plan.cost_nano_usd_per_hour, made.predicted, made.configuration)
            rows[name] = {"status": made.status, **row}
        return _frame(rows, "study")

    def with_traffic(self, factor: float) -> Study:
        """Return the study with ``factor`` times the rate: the same queries, arriving that much faster."""
        if self.trace.duration_ns / changes.check_factor("with_traffic", factor) > MAX_TIME_NS:
            raise InputError(f"with_traffic: {factor!r} makes the trace longer than 146 years")
        return replace(self, trace=self.trace.scaled(factor), digests=_without(self.digests, "trace_sha256"))

    def with_slo(
        self,
        latency: str | float | None = None,
        *,
        percentile: float | str | None = None,
        factor: float | None = None,
    ) -> Study:
        """Return the study with another SLO: ``latency="200ms"``, ``percentile=99.9``, ``factor=0.5``."""
        return self._changed(changes.with_slo(self.pipeline, latency, percentile, factor))

    def with_prices(self, prices: Mapping[str, changes.Price] | None = None, /, **named: changes.Price) -> Study:
        """Return the study with other prices of hardware.

        A price is a text (``v100="$3.06/h"``), a number of dollars per hour (``v100=3.06``), or a factor on today's
        price (``v100="1.5x"``). Names that are no Python names go into a mapping: ``{"cpu-1": "2x"}``.
        """
        return self._changed(changes.with_prices(self.pipeline, {**(prices or {}), **named}))

    def with_price_factor(self, *, accelerated: float = 1.0, other: float = 1.0) -> Study:
        """Return the study with the prices of all hardware with an accelerator, and of all other, multiplied."""
        return self._changed(changes.with_price_factors(self.pipeline, accelerated, other))

    def with_probability(self, parent: str, child: str, probability: float) -> Study:
        """Return the study with another probability on the edge from ``parent`` to ``child``.

        Routes come from the same draws: a query that takes the edge at 0.2 also takes it at 0.3.
        """
        return self._changed(changes.with_probability(self.pipeline, parent, child, probability))

    def read_configuration(self, path: str | os.PathLike[str]) -> Configuration:
        """Read the configuration of a plan.json, to be simulated here."""
        return files.read_configuration(path, self.pipeline, self.profiles)

    def plot_traffic(self) -> Picture:
        """Draw the rate over time, and the highest rate in windows of each length."""
        return draw_traffic(self.trace)

    def __repr__(self) -> str:
        slo, trace = self.pipeline.slo, self.trace
        return (
            f"Study({self.pipeline.name}: {len(self.pipeline.stages)} stages, "
            f"{format_duration(slo.latency_ns)} at P{slo.percentile}, {len(trace):,} queries in "
            f"{format_duration(trace.duration_ns)}, {trace.mean_qps:.1f}/s on average)"
        )

    def _changed(self, pipeline: Pipeline) -> Study:
        return replace(self, pipeline=pipeline, digests=_without(self.digests, "pipeline_sha256"))

    def _problem(self) -> Problem:
        return pose(self.pipeline, self.profiles, self.trace)


_HERE = "as it is"
_FIGURES = ("cost_usd_per_hour", "p99_s", "miss_rate")


def load(path: str | os.PathLike[str], *, trace: str | os.PathLike[str] | None = None) -> Study:
    """Read a pipeline file with its profiles and its trace.

    Parameters
    ----------
    path
        The pipeline file.
    trace
        A trace instead of the workload's, as it is.

    Raises
    ------
    InputError
        With every fault of all files.
    """
    inputs = files.load(path, trace=trace)
    return Study(pipeline=inputs.pipeline, profiles=inputs.profiles, trace=inputs.trace, digests=inputs.digests)


def plot_compare(table: pd.DataFrame) -> Picture:
    """Draw the costs of a table of `Study.compare` or `Study.baselines` as bars."""
    costs = table["cost_usd_per_hour"].astype(float)
    return draw_costs([str(name) for name in table.index], costs.tolist())


def _row(cost_nano_usd_per_hour: int, predicted: Prediction, configuration: Configuration) -> dict[str, object]:
    figures = (cost_nano_usd_per_hour / NANO, predicted.p99_s, predicted.miss_rate)
    return {
        **dict(zip(_FIGURES, figures, strict=True)),
        **{f"replicas {name}": chosen.replicas for name, chosen in configuration.items()},
    }


def _frame(rows: Mapping[str, Mapping[str, object]], index: str) -> pd.DataFrame:
    """Return the rows as a table; whole numbers stay whole where a row has none."""
    table = pd.DataFrame.from_dict(dict(rows), orient="index").rename_axis(index)
    replicas = [column for column in table.columns if column.startswith("replicas ")]
    return table.astype(dict.fromkeys(replicas, "Int64"))


def _without(digests: Mapping[str, str], stale: str) -> Mapping[str, str]:
    return MappingProxyType({name: digest for name, digest in digests.items() if name != stale})
