"""The tables and lines of ``inferline diff``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.table import Table

from inferline.cli.tables import share
from inferline.domain import Configuration, Pipeline
from inferline.units import format_duration, format_usd
from planner import Problem
from planner.transitions.periods import Period, Seen
from planner.transitions.rehearsal import Rehearsal
from planner.transitions.timetable import ActivationDelay, Pace
from planner.transitions.transition import ADD, BATCH, SWITCH, TransitionStep

__all__ = ["changes_table", "step_tables", "verdict_lines"]


def changes_table(pipeline: Pipeline, old: Configuration, new: Configuration) -> Table:
    """Return one row per stage: what it runs with before and after."""
    table = _table(("stage", "hardware"), ("replicas", "max batch", "$/h"))
    for stage in pipeline.stages:
        was, becomes = old[stage.name], new[stage.name]
        cost = [
            format_usd(pipeline.unit(each.hardware).price_nano_usd_per_hour * each.replicas)
            for each in (was, becomes)
        ]
        table.add_row(
            stage.name,
            _arrow(was.hardware, becomes.hardware),
            _arrow(was.replicas, becomes.replicas),
            _arrow(was.max_batch, becomes.max_batch),
            _arrow(*cost),
        )
    return table


def step_tables(problem: Problem, rehearsal: Rehearsal) -> list[Table]:
    """Return what each step does, and what the queries see that arrive meanwhile; both fit into 80 columns.

    The last figures are the latencies of the same queries if one of the plans ran all the time.
    """
    at = f"P{problem.pipeline.slo.percentile}"
    does = _table(("", "step"), ("replicas", "max batch", "at", "ready in", "$/h"))
    seen = _table(("",), ("queries", at, "late", "old only", "new only"), ("waits longest",))
    seen.add_row("before", *_queries(rehearsal.before))
    for place, (step, period) in enumerate(zip(rehearsal.transition.steps, rehearsal.steps, strict=True), start=1):
        style = None if period.seen.slo_met else "red"
        does.add_row(
            str(place),
            what(step),
            _arrow(step.from_replicas, step.replicas),
            _arrow(step.from_batch, step.max_batch),
            format_duration(period.slot.begin_ns),
            format_duration(period.slot.ready_ns - period.slot.begin_ns),
            format_usd(step.cost_nano_usd_per_hour),
            style=style,
        )
        seen.add_row(str(place), *_queries(period), style=style)
    seen.add_row("after", *_queries(rehearsal.after))
    return [does, seen]


def _table(first: Sequence[str], figures: Sequence[str], last: Sequence[str] = ()) -> Table:
    """Return a table without lines: texts to the left and folded when they must be, figures to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in (*first, *figures, *last):
        words = name not in figures
        table.add_column(name, justify="left" if words else "right", no_wrap=not words, overflow="fold")
    return table


def verdict_lines(
    problem: Problem, rehearsal: Rehearsal, pace: Pace, delays: Mapping[tuple[str, str], ActivationDelay]
) -> Iterator[str]:
    """Yield what the transition comes to, and what that rests on."""
    pipeline, transition = problem.pipeline, rehearsal.transition
    at = f"P{pipeline.slo.percentile}"
    steady = f"{at} of the whole trace {_latency(rehearsal.old)} with old, {_latency(rehearsal.new)} with new"
    if not rehearsal.steps:
        yield "nothing changes: both plans run the same configuration"
        yield f"steady   {steady}"
        return
    yield f"SLO      {format_duration(pipeline.slo.latency_ns)} at {at}: {_verdict(rehearsal)}"
    yield from _causes(rehearsal)
    if rehearsal.worst is not None:
        step, seen = transition.steps[rehearsal.worst], rehearsal.steps[rehearsal.worst].seen
        yield (
            f"worst    step {rehearsal.worst + 1}, {what(step)}: {at} {_latency(seen)}, "
            f"{share(seen.late / seen.queries, 2)} of {seen.queries:,} queries late"
        )
    yield f"steady   {steady}"
    slot = rehearsal.whole.slot
    begin, end, length = (format_duration(ns) for ns in (slot.begin_ns, slot.end_ns, slot.end_ns - slot.begin_ns))
    costs = [format_usd(each.cost_nano_usd_per_hour(pipeline)) for each in (transition.old, transition.new)]
    peak = format_usd(rehearsal.peak_nano_usd_per_hour)
    yield f"cost     {costs[0]}/h before, at most {peak}/h on the way, {costs[1]}/h after"
    yield f"         {format_usd(rehearsal.cost_nano_usd)} for the {length} of the transition"
    busiest = f": the {length} in which most queries arrive" if pace.begin_ns is None else ""
    yield f"time     {begin} to {end} of the trace{busiest}"
    yield f"         every step is given {format_duration(pace.settle_ns)} to settle"
    if slot.end_ns > problem.trace.duration_ns:
        yield f"         the trace ends at {format_duration(problem.trace.duration_ns)}, before the transition does"
    yield from _activation_lines(delays)
    for name in transition.limited:
        yield f"limit    {pipeline.unit(name).limit} units of {name} are too few to add everything first"
    for place, each in enumerate(transition.steps, start=1):
        if each.forced:
            yield f"         so step {place} takes serving replicas of {each.stage} away before others are there"


def what(step: TransitionStep) -> str:
    """Say what a step does, in a few words."""
    if step.kind == SWITCH:
        return f"switch {step.stage} from {step.from_hardware} to {step.hardware}"
    if step.kind == BATCH:
        return f"batch size of {step.stage}"
    idle = "" if step.serving else " (standby)" if step.kind == ADD else " (idle)"
    return f"{step.kind} {step.stage} on {step.hardware}{idle}"


def _verdict(rehearsal: Rehearsal) -> str:
    if rehearsal.slo_met:
        return "holds in every step of the transition"
    missed = [str(place) for place, period in enumerate(rehearsal.steps, start=1) if not period.seen.slo_met]
    seen = rehearsal.whole.seen
    late = f"{share(seen.late / seen.queries, 2)} of the {seen.queries:,} queries of the transition are late"
    return f"MISSED in step {', '.join(missed)} of {len(rehearsal.steps)} ({late})"


def _causes(rehearsal: Rehearsal) -> Iterator[str]:
    """Yield whether the steps that miss the SLO would also miss it without a transition."""
    says = {
        (True, True): "the same queries meet it with either plan alone: the transition is the cause",
        (True, False): "the same queries meet it with the old plan alone, not with the new one",
        (False, True): "the same queries miss it with the old plan alone too, not with the new one",
        (False, False): "the same queries miss it with either plan alone too",
    }
    found: dict[str, list[str]] = {}
    for place, period in enumerate(rehearsal.steps, start=1):
        if not period.seen.slo_met:
            found.setdefault(says[period.with_old.slo_met, period.with_new.slo_met], []).append(str(place))
    for words, places in found.items():
        yield f"         step {', '.join(places)}: {words}"


def _activation_lines(delays: Mapping[tuple[str, str], ActivationDelay]) -> Iterator[str]:
    says = {
        "given": "as --activation says",
        "profile": "from the profiles",
        "assumed": "ASSUMED: the profiles have no load_s; --activation sets it",
    }
    for source, words in says.items():
        found: dict[int, list[str]] = {}
        for (stage, hardware), delay in delays.items():
            if delay.source == source:
                found.setdefault(delay.delay_ns, []).append(f"{stage} on {hardware}")
        for delay_ns, added in found.items():
            yield f"active   {', '.join(added)} after {format_duration(delay_ns)}"
            yield f"         {words}"


def _arrow(before: object, after: object) -> str:
    return str(after) if before == after else f"{before} -> {after}"


def _latency(seen: Seen) -> str:
    return "-" if seen.latency_ns is None else format_duration(seen.latency_ns)


def _queries(period: Period) -> tuple[str, ...]:
    seen, wait = period.seen, period.longest_wait
    return (
        f"{seen.queries:,}",
        _latency(seen),
        share(seen.late / seen.queries, 2) if seen.queries else "-",
        _latency(period.with_old),
        _latency(period.with_new),
        "" if wait is None else f"{wait[0]} {format_duration(wait[1])}",
    )
