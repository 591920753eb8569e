"""What ``inferline tune replay`` prints: a table for people, and the same as a document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from inferline.cli.tables import share
from inferline.domain import Slo
from inferline.laboratory import Change, Experiment, Replay, Verdict, judge
from inferline.units import NANO, format_duration, format_usd
from planner.transitions.timetable import ActivationDelay

__all__ = ["replay_document", "replay_tables"]

VERSION = 1

_SAYS = {
    "given": "as --activation says",
    "profile": "from the profiles",
    "assumed": "ASSUMED: the profiles have no load_s; --activation sets it",
}


def replay_tables(
    experiment: Experiment, replays: Sequence[Replay], delays: Mapping[str, ActivationDelay]
) -> list[Table | str]:
    """Return the figures of every policy, and what they rest on.

    Parameters
    ----------
    experiment, replays
        What was replayed.
    delays
        Activation delay of every stage.
    """
    slo = experiment.situation.pipeline.slo
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("policy", overflow="fold", min_width=12)
    for name in ("cost", "mean $/h", "late", "queries late", f"P{slo.percentile}", "worst second", "changes", "back"):
        table.add_column(name, justify="right")
    table.add_column("most", justify="right")
    for verdict in map(judge, replays):
        table.add_row(verdict.policy, *_cells(verdict))
    return [table, "\n".join(_lines(experiment, slo, delays))]


def _cells(verdict: Verdict) -> Iterator[str]:
    worst = verdict.worst_second
    yield format_usd(verdict.cost_nano_usd)
    yield format_usd(verdict.mean_nano_usd_per_hour)
    yield share(verdict.miss_rate, 3)
    yield f"{verdict.late:,}"
    yield format_duration(verdict.at_slo_percentile_ns)
    yield "-" if worst is None else f"{worst.second} s: {worst.late} of {worst.queries}"
    yield f"{verdict.changes:,}"
    yield f"{verdict.oscillations:,}"
    yield f"{verdict.most_replicas:,}"


def _lines(experiment: Experiment, slo: Slo, delays: Mapping[str, ActivationDelay]) -> Iterator[str]:
    trace, plan = experiment.trace, experiment.situation.plan
    length, busiest = format_duration(trace.duration_ns), f"{trace.peak_qps():,}"
    yield f"trace    {len(trace):,} queries in {length}, {trace.mean_qps:,.0f}/s on average, {busiest} at most"
    yield f"SLO      {format_duration(slo.latency_ns)} at P{slo.percentile}"
    yield f"plan     {format_usd(plan.cost_nano_usd_per_hour)}/h at the start"
    for source, words in _SAYS.items():
        found: dict[int, list[str]] = {}
        for stage, delay in delays.items():
            if delay.source == source:
                found.setdefault(delay.delay_ns, []).append(stage)
        for delay_ns, stages in found.items():
            yield f"active   {', '.join(stages)} after {format_duration(delay_ns)}"
            yield f"         {words}"
    yield "back     changes that take back what was changed within the minute before; most: replicas at one time"


def replay_document(
    experiment: Experiment, replays: Sequence[Replay], delays: Mapping[str, ActivationDelay]
) -> dict[str, Any]:
    """Return the same figures, and every change, as plain mappings, lists and numbers; the arguments are the same."""
    situation, trace = experiment.situation, experiment.trace
    slo = situation.pipeline.slo
    return {
        "version": VERSION,
        "pipeline": situation.pipeline.name,
        "slo": {
            "latency_s": slo.latency_ns / NANO,
            "percentile": int(slo.percentile) if slo.percentile == int(slo.percentile) else float(slo.percentile),
        },
        "trace": {
            "queries": len(trace),
            "duration_s": trace.duration_ns / NANO,
            "mean_qps": trace.mean_qps,
            "peak_qps": trace.peak_qps(),
        },
        "plan_usd_per_hour": situation.plan.cost_nano_usd_per_hour / NANO,
        "activation": [
            {"stage": stage, "delay_s": delay.delay_ns / NANO, "source": delay.source}
            for stage, delay in delays.items()
        ],
        "policies": [_replay(each) for each in replays],
    }


def _replay(replayed: Replay) -> dict[str, Any]:
    verdict = judge(replayed)
    worst = verdict.worst_second
    return {
        "policy": verdict.policy,
        "cost_usd": verdict.cost_nano_usd / NANO,
        "mean_usd_per_hour": verdict.mean_nano_usd_per_hour / NANO,
        "queries": verdict.queries,
        "late": verdict.late,
        "miss_rate": verdict.miss_rate,
        "slo_met": verdict.slo_met,
        "at_slo_percentile_s": verdict.at_slo_percentile_ns / NANO,
        "longest_s": verdict.longest_ns / NANO,
        "worst_second": None
        if worst is None
        else {"second": worst.second, "queries": worst.queries, "late": worst.late},
        "oscillations": verdict.oscillations,
        "most_replicas": verdict.most_replicas,
        "changes": [_change(change) for change in replayed.changes],
        "replicas": {
            stage: [
                {"from_s": start_ns / NANO, "requested": requested, "ready": ready}
                for start_ns, requested, ready in zip(
                    timeline.start_ns.tolist(), timeline.requested.tolist(), timeline.ready.tolist(), strict=True
                )
            ]
            for stage, timeline in replayed.result.replicas.items()
        },
    }


def _change(change: Change) -> dict[str, Any]:
    reason = change.reason
    return {
        "at_s": change.at_ns / NANO,
        "stage": change.stage,
        "from": change.before,
        "to": change.after,
        **(
            {}
            if reason is None
            else {
                "rule": reason.rule,
                "window_s": reason.window_ns / NANO,
                "measured": reason.measured,
                "threshold": reason.threshold,
            }
        ),
    }
