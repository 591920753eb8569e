"""A rehearsed transition as JSON: the document of ``inferline diff``, and of a daemon that has planned anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferline.domain import Configuration
from inferline.units import NANO
from planner.problem import Problem
from planner.transitions.periods import Period, Seen
from planner.transitions.rehearsal import Rehearsal
from planner.transitions.timetable import ActivationDelay, Pace
from planner.transitions.transition import TransitionStep

__all__ = ["transition_document"]

VERSION = 1


def transition_document(
    problem: Problem, rehearsal: Rehearsal, pace: Pace, delays: Mapping[tuple[str, str], ActivationDelay]
) -> dict[str, Any]:
    """Return a rehearsal as plain mappings, lists and numbers.

    Parameters
    ----------
    problem, rehearsal, pace
        What was rehearsed, and how fast it went.
    delays
        Activation delay of every (stage, hardware) that gets replicas.
    """
    pipeline, transition = problem.pipeline, rehearsal.transition
    percentile = pipeline.slo.percentile
    worst = rehearsal.worst
    return {
        "version": VERSION,
        "pipeline": pipeline.name,
        "slo": {
            "latency_s": pipeline.slo.latency_ns / NANO,
            "percentile": int(percentile) if percentile == int(percentile) else float(percentile),
        },
        "slo_met": rehearsal.slo_met,
        "worst_step": None if worst is None else worst + 1,
        "old": {**_configuration(problem, transition.old), **_seen(rehearsal.old)},
        "new": {**_configuration(problem, transition.new), **_seen(rehearsal.new)},
        "settle_s": pace.settle_ns / NANO,
        "activation": [
            {"stage": stage, "hardware": hardware, "delay_s": delay.delay_ns / NANO, "source": delay.source}
            for (stage, hardware), delay in delays.items()
        ],
        "limited_by": list(transition.limited),
        "peak_cost_usd_per_hour": rehearsal.peak_nano_usd_per_hour / NANO,
        "cost_usd": rehearsal.cost_nano_usd / NANO,
        "before": _period(rehearsal.before),
        "steps": [
            {"step": place, **_step(step), **_period(period)}
            for place, (step, period) in enumerate(zip(transition.steps, rehearsal.steps, strict=True), start=1)
        ],
        "whole": _period(rehearsal.whole),
        "after": _period(rehearsal.after),
    }


def _configuration(problem: Problem, configuration: Configuration) -> dict[str, Any]:
    return {
        "cost_usd_per_hour": configuration.cost_nano_usd_per_hour(problem.pipeline) / NANO,
        "stages": {
            name: {"hardware": stage.hardware, "max_batch": stage.max_batch, "replicas": stage.replicas}
            for name, stage in configuration.items()
        },
    }


def _seen(seen: Seen) -> dict[str, Any]:
    return {
        "queries": seen.queries,
        "at_slo_percentile_s": None if seen.latency_ns is None else seen.latency_ns / NANO,
        "late": seen.late,
        "miss_rate": seen.late / seen.queries if seen.queries else None,
        "slo_met": seen.slo_met,
    }


def _step(step: TransitionStep) -> dict[str, Any]:
    return {
        "kind": step.kind,
        "stage": step.stage,
        "hardware": {"from": step.from_hardware, "to": step.hardware},
        "replicas": {"from": step.from_replicas, "to": step.replicas},
        "max_batch": {"from": step.from_batch, "to": step.max_batch},
        "serving": step.serving,
        "forced": step.forced,
        "cost_usd_per_hour": step.cost_nano_usd_per_hour / NANO,
    }


def _period(period: Period) -> dict[str, Any]:
    return {
        "begin_s": period.slot.begin_ns / NANO,
        "ready_s": period.slot.ready_ns / NANO,
        "end_s": period.slot.end_ns / NANO,
        **_seen(period.seen),
        "with_old": _seen(period.with_old),
        "with_new": _seen(period.with_new),
        "longest_wait": None
        if period.longest_wait is None
        else {"stage": period.longest_wait[0], "wait_s": period.longest_wait[1] / NANO},
    }
