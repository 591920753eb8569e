"""``inferline plan --explain --format json``: the explanation as plain mappings, lists and numbers."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from inferline.domain import Configuration, Plan
from inferline.units import NANO
from planner.budget import Budget
from planner.explanation.constraints import Constraint
from planner.explanation.explain import Explanation, LastReplica
from planner.explanation.neighbours import Neighbour
from planner.explanation.relaxing import Relaxed
from planner.explanation.trials import Trial

__all__ = ["explanation_document", "with_explanation"]


def with_explanation(document: str, plan: Plan, explained: Explanation) -> str:
    """Return the text of a plan.json with the key ``explanation`` at its end; readers of plans leave it alone."""
    whole = {**json.loads(document), "explanation": explanation_document(plan, explained)}
    return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def explanation_document(plan: Plan, explained: Explanation) -> dict[str, Any]:
    """Return the ``explanation`` object; money in $/h, times in seconds, shares in [0, 1]."""
    return {
        "slowest": {
            "queries": int(explained.queries),
            "mean_latency_s": explained.mean_latency_ns / NANO,
            "stages": {name: _budget(spent) for name, spent in explained.stages.items()},
        },
        "worst_case": _trial(plan, explained.worst),
        "late_allowed": explained.late_allowed,
        "last_replica": {name: _last_replica(plan, last) for name, last in explained.last_replica.items()},
        "batch_sizes": {
            name: [{"max_batch": trial.configuration[name].max_batch, **_trial(plan, trial)} for trial in trials]
            for name, trials in explained.batch_sizes.items()
        },
        "rejected": [_neighbour(plan, each) for each in explained.rejected],
        "also_good": [_neighbour(plan, each) for each in explained.also_good],
        "better": [_neighbour(plan, each) for each in explained.better],
        "simulated": explained.tried,
        "left_out": explained.left_out,
        "constraints": [_relaxed(plan, each) for each in explained.constraints],
    }


def _budget(spent: Budget) -> dict[str, float]:
    return {
        "wait_s": spent.wait_ns / NANO,
        "service_alone_s": spent.alone_ns / NANO,
        "batching_s": spent.batching_ns / NANO,
    }


def _trial(plan: Plan, trial: Trial) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "cost_usd_per_hour": trial.cost_nano_usd_per_hour / NANO,
        "at_slo_percentile_s": trial.latency_ns / NANO,
        "late": trial.late,
        "miss_rate": trial.late / plan.predicted.queries,
        "slo_met": trial.slo_met,
    }
    if trial.breaks is not None:
        figures["breaks_at"] = {
            "stage": trial.breaks.stage,
            "wait_growth_s": trial.breaks.wait_ns / NANO,
            "service_growth_s": trial.breaks.service_ns / NANO,
        }
    return figures


def _last_replica(plan: Plan, last: LastReplica) -> dict[str, Any]:
    return {
        "replicas": last.replicas,
        "removable": last.removable,
        "saving_usd_per_hour": last.saving_nano_usd_per_hour / NANO,
        "within_bounds": last.within_bounds,
        "indispensable": last.indispensable,
        "without": None if last.without is None else _trial(plan, last.without),
    }


def _neighbour(plan: Plan, each: Neighbour) -> dict[str, Any]:
    return {
        "stages": _changed(plan.configuration, each.trial.configuration),
        **_trial(plan, each.trial),
        "batch_sizes_tried": each.tried,
    }


def _relaxed(plan: Plan, each: Relaxed) -> dict[str, Any]:
    document: dict[str, Any] = {**_bound(each.constraint), "verdict": each.verdict}
    if each.configuration is not None and each.cost_nano_usd_per_hour is not None:
        document["cost_usd_per_hour"] = each.cost_nano_usd_per_hour / NANO
        document["stages"] = _changed(plan.configuration, each.configuration)
    return document


def _bound(bound: Constraint) -> dict[str, Any]:
    """Return a constraint in the units of its key: an SLO latency in seconds, everything else as a number."""
    per = NANO if bound.kind == "latency" else 1
    used, allowed = (figure / per if per != 1 else figure for figure in (bound.used, bound.allowed))
    then: object = bound.relaxed_to
    if isinstance(bound.relaxed_to, tuple):
        then = list(bound.relaxed_to)
    elif isinstance(bound.relaxed_to, Decimal):
        then = float(bound.relaxed_to)
    elif per != 1:
        then = bound.relaxed_to / per
    return {"key": bound.key, "used": used, "allowed": allowed, "relaxed_to": then}


def _changed(plan: Configuration, other: Configuration) -> dict[str, Any]:
    """Return the stages that run something else than in the plan, with what they run."""
    return {
        name: {"hardware": chosen.hardware, "max_batch": chosen.max_batch, "replicas": chosen.replicas}
        for name, chosen in other.items()
        if plan[name] != chosen
    }
