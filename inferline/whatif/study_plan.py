"""A plan of a study: the domain's plan with tables, a simulation and pictures at hand."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from inferline.domain import Configuration, Plan, Prediction
from inferline.files import write_plan
from inferline.pictures import Picture, draw_budget
from inferline.units import NANO, format_duration, format_usd
from inferline.whatif.simulation import Simulation, run, stage_frame
from planner import Problem

__all__ = ["StudyPlan"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StudyPlan:
    """The plan that `Study.plan` found.

    Parameters
    ----------
    problem
        What was planned.
    plan
        The plan itself.
    """

    problem: Problem
    plan: Plan

    @property
    def configuration(self) -> Configuration:
        """Hardware, maximum batch size and replicas of each stage."""
        return self.plan.configuration

    @property
    def predicted(self) -> Prediction:
        """What the simulator expects."""
        return self.plan.predicted

    @property
    def cost_usd_per_hour(self) -> float:
        """What the plan costs."""
        return self.plan.cost_nano_usd_per_hour / NANO

    @property
    def status(self) -> str:
        """``optimal`` (proved) or ``feasible``."""
        return self.plan.status

    @property
    def gap(self) -> float:
        """(cost - lower bound) / cost: the most that a cheaper plan could save."""
        return self.plan.gap

    @property
    def stages(self) -> pd.DataFrame:
        """One row per stage: configuration, load, waiting and service times, shares of the SLO."""
        return stage_frame(self.problem.pipeline, self.plan.configuration, self.plan.predicted)

    def simulate(self) -> Simulation:
        """Simulate the plan on the traffic that it was made for, with the latency of every query."""
        return run(self.problem, self.plan.configuration)

    def plot_latency(self) -> Picture:
        """Draw the latency distribution and its tail, with the SLO; simulates the plan."""
        return self.simulate().plot_latency()

    def plot_budget(self) -> Picture:
        """Draw what the slowest queries spend of the SLO at each stage, waiting and in service."""
        return draw_budget(self.plan.predicted, self.plan.slo)

    def to_json(self) -> str:
        """Return the text of plan.json."""
        return write_plan(self.plan)

    def save(self, path: str | Path) -> None:
        """Write plan.json."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    def __repr__(self) -> str:
        plan = self.plan
        proof = "proved optimal" if plan.status == "optimal" else f"at most {plan.gap:.1%} could be saved"
        return (
            f"StudyPlan({plan.pipeline}: {format_usd(plan.cost_nano_usd_per_hour)}/h ({proof}), "
            f"P{plan.slo.percentile} {format_duration(plan.predicted.at_slo_percentile_s * NANO)} "
            f"of {format_duration(plan.slo.latency_ns)}, {plan.predicted.miss_rate:.2%} of queries late)"
        )

    def _repr_html_(self) -> str:
        """Show the line and the stages in a notebook."""
        shown = self.stages[["hardware", "replicas", "max_batch", "cost_usd_per_hour", "utilisation"]]
        return f"<p>{html.escape(repr(self))}</p>{shown.to_html(float_format='{:.3g}'.format)}"
