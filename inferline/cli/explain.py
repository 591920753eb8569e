"""``inferline plan --explain`` as tables: each one answers a "why?"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from inferline.cli.tables import share
from inferline.domain import Configuration, Plan, StageConfiguration
from inferline.units import format_duration, format_usd
from planner.explanation.constraints import Constraint
from planner.explanation.explain import Explanation, LastReplica
from planner.explanation.neighbours import Neighbour
from planner.explanation.relaxing import Relaxed
from planner.explanation.trials import Break, Trial

__all__ = ["explanation_tables"]


def explanation_tables(plan: Plan, explained: Explanation) -> list[Table | str]:
    """Return the explanation of a plan as tables and sentences, in the order in which one would ask."""
    parts: list[Table | str] = [_lead(plan, explained), _times(plan, explained), _last_replicas(plan, explained)]
    if explained.rejected:
        parts.append(_rejected(plan, explained.rejected))
    parts += [_batch_sizes(plan, explained), _constraints(plan, explained.constraints)]
    notes = "\n".join(_notes(plan, explained))
    return [*parts, notes]


def _lead(plan: Plan, explained: Explanation) -> str:
    """Answer the first question in two sentences."""
    cost = format_usd(plan.cost_nano_usd_per_hour)
    if explained.better:
        best = min(explained.better, key=lambda each: each.trial.cost_nano_usd_per_hour)
        return (
            f"Why {cost}/h? Because {plan.planner} missed something: {_change(plan.configuration, best.trial)} costs "
            f"{format_usd(best.trial.cost_nano_usd_per_hour)}/h and meets the SLO. Try --planner exact."
        )
    if plan.status == "optimal":
        answer = f"Why {cost}/h? Because nothing cheaper in the declared space meets the SLO: that is proved."
    else:
        bound = format_usd(plan.lower_bound_nano_usd_per_hour)
        answer = f"Why {cost}/h? It is the best that {plan.planner} found; less than {bound}/h is impossible."
    nearest = next((each.trial for each in explained.rejected if _saves(plan, each.trial) > 0), None)
    if nearest is None:
        return answer
    return (
        f"{answer}\nThe nearest that costs less is {_change(plan.configuration, nearest)}: "
        f"{format_usd(nearest.cost_nano_usd_per_hour)}/h, but {_at(plan)} {_latency(plan, nearest)} "
        f"and {_late(plan, nearest)} late."
    )


def _times(plan: Plan, explained: Explanation) -> Table:
    mean = format_duration(explained.mean_latency_ns)
    title = f"The slowest queries ({explained.queries:,}, from {_at(plan)} on) take {mean} on average"
    table = _table(title, "stage", "waiting for a replica", "service alone", "batching", "together", "of SLO")
    for name, spent in explained.stages.items():
        sign = "-" if spent.batching_ns < 0 else ""
        table.add_row(
            name,
            format_duration(spent.wait_ns),
            format_duration(spent.alone_ns),
            sign + format_duration(abs(spent.batching_ns)),
            format_duration(spent.total_ns),
            share(spent.total_ns / plan.slo.latency_ns, 0),
        )
    return table


def _last_replicas(plan: Plan, explained: Explanation) -> Table:
    table = _table("What the last replica of each stage is worth", "stage", "replicas", "saves", _at(plan), "late")
    table.add_column("without it")
    for name, last in explained.last_replica.items():
        if last.without is None:
            why = "not simulated: the trace is too long" if last.removable else _kept(plan, last)
            table.add_row(name, str(last.replicas), "-", "-", "-", why)
            continue
        table.add_row(
            name,
            f"{last.replicas} -> {last.replicas - 1}",
            f"{format_usd(last.saving_nano_usd_per_hour)}/h",
            _latency(plan, last.without),
            _late(plan, last.without),
            _without(last, last.without),
        )
    return table


def _kept(plan: Plan, last: LastReplica) -> str:
    if plan.survive:
        return f"the fewest that leave one after {plan.survive} lost"
    return "its only one" if last.replicas == 1 else "cannot be taken away"


def _without(last: LastReplica, trial: Trial) -> str:
    if trial.slo_met:
        return "meets the SLO" if last.within_bounds else "meets the SLO, but the stage's minimum is reached"
    words = [_breaks(trial.breaks)]
    if last.indispensable:
        words.append("nothing else makes up for it")
    if not last.within_bounds:
        words.append("the stage's minimum is reached")
    return "; ".join(words)


def _rejected(plan: Plan, rejected: Sequence[Neighbour]) -> Table:
    table = _table("Cheaper, but too late: the nearest first", "$/h", _at(plan), "late")
    table.add_column("instead")
    table.add_column("breaks at")
    table.add_column("batches tried", justify="right")
    for each in rejected:
        table.add_row(
            format_usd(each.trial.cost_nano_usd_per_hour),
            _latency(plan, each.trial),
            _late(plan, each.trial),
            _change(plan.configuration, each.trial),
            _breaks(each.trial.breaks),
            str(each.tried),
        )
    return table


def _batch_sizes(plan: Plan, explained: Explanation) -> Table:
    table = _table("Other maximum batch sizes, at the same cost", "stage", "chosen")
    table.add_column("meet the SLO too")
    table.add_column("miss it (late)")
    for name, trials in explained.batch_sizes.items():
        chosen = plan.configuration[name].max_batch
        others = [(trial.configuration[name].max_batch, trial) for trial in trials]
        met = [str(size) for size, trial in others if trial.slo_met and size != chosen]
        missed = [f"{size} ({_late(plan, trial, 0)})" for size, trial in others if not trial.slo_met]
        table.add_row(name, str(chosen), ", ".join(met) or "-", ", ".join(missed) or "-")
    return table


def _constraints(plan: Plan, constraints: Sequence[Relaxed]) -> Table:
    table = _table("What binds: the plan if one of these gave way a little", "", "now", "then")
    table.add_column("plan")
    for each in constraints:
        table.add_row(each.constraint.key, _now(plan, each.constraint), _then(each.constraint), _verdict(plan, each))
    return table


def _now(plan: Plan, bound: Constraint) -> str:
    used, allowed = f"{bound.used:,}", f"{bound.allowed:,}"
    return {
        "latency": f"{_at(plan)} {format_duration(bound.used)} of {format_duration(bound.allowed)}",
        "late": f"{used} of {allowed} late queries",
        "units": f"{used} of {allowed} units",
        "replicas": f"{used}, {'least' if bound.key.endswith('min') else 'most'} {allowed}",
        "batch": f"{used}, most {allowed}",
        "hardware": f"{allowed} kinds" if bound.allowed > 1 else "1 kind",
        "losses": used,
    }[bound.kind]


def _then(bound: Constraint) -> str:
    if isinstance(bound.relaxed_to, tuple):
        return ", ".join(bound.relaxed_to)
    if bound.kind == "latency":
        return format_duration(float(bound.relaxed_to))
    return f"P{bound.relaxed_to}" if bound.kind == "late" else f"{bound.relaxed_to:,}"


def _verdict(plan: Plan, relaxed: Relaxed) -> str:
    if relaxed.configuration is None or relaxed.cost_nano_usd_per_hour is None:
        return {
            "nothing": "none is cheaper (proved)",
            "undecided": "no cheaper one found, none ruled out",
        }.get(relaxed.verdict, "not tried: no time left")
    saved = 1 - relaxed.cost_nano_usd_per_hour / plan.cost_nano_usd_per_hour
    cheaper = f"{format_usd(relaxed.cost_nano_usd_per_hour)}/h, {share(saved)} less"
    if relaxed.verdict == "unrelated":
        return f"{cheaper}, and allowed as it is: {plan.planner} missed it"
    return f"{cheaper}: {_difference(plan.configuration, relaxed.configuration)}"


def _notes(plan: Plan, explained: Explanation) -> Iterator[str]:
    for each in explained.also_good:
        yield f"The same cost and within the SLO: {_change(plan.configuration, each.trial)}."
    if plan.status != "optimal" and any(each.verdict == "cheaper" for each in explained.constraints):
        yield "The plan is not proved optimal: part of what giving way saves may be had without."
    if plan.survive:
        lost = f"{plan.survive} or fewer replicas" if plan.survive > 1 else "a replica"
        yield f"Below the first table, {_at(plan)} and late queries are those after the worst loss of {lost}."
    left_out = f"; {explained.left_out} more were left out, the trace is long" if explained.left_out else ""
    yield f"{explained.tried} configurations around the plan were simulated on the whole trace{left_out}."


def _breaks(broken: Break | None) -> str:
    """Say at which stage, and whether its waiting or its service grew more."""
    if broken is None:
        return "-"
    what, grown_ns = max(("waiting", broken.wait_ns), ("service", broken.service_ns), key=lambda each: each[1])
    return f"{broken.stage}: {what} +{format_duration(grown_ns)}"


def _change(plan: Configuration, trial: Trial) -> str:
    return _difference(plan, trial.configuration)


def _difference(plan: Configuration, other: Configuration) -> str:
    return "; ".join(f"{name} {_stage(plan[name], other[name])}" for name in plan if plan[name] != other[name])


def _stage(before: StageConfiguration, after: StageConfiguration) -> str:
    paid_for = (before.hardware, before.replicas) != (after.hardware, after.replicas)
    words = [f"{after.replicas} x {after.hardware}"] if paid_for else []
    words += [f"batch {after.max_batch}"] if before.max_batch != after.max_batch else []
    return ", ".join(words)


def _latency(plan: Plan, trial: Trial) -> str:
    """Write a latency so that what is beyond the SLO never reads as the SLO."""
    text, slo_ns = format_duration(trial.latency_ns), plan.slo.latency_ns
    same = trial.latency_ns > slo_ns and text == format_duration(slo_ns)
    return f"{trial.latency_ns / 1e6:,.6g} ms" if same else text


def _late(plan: Plan, trial: Trial, digits: int = 2) -> str:
    return share(trial.late / plan.predicted.queries, digits)


def _saves(plan: Plan, trial: Trial) -> int:
    return plan.cost_nano_usd_per_hour - trial.cost_nano_usd_per_hour


def _at(plan: Plan) -> str:
    return f"P{plan.slo.percentile}"


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="bold"
    )
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right")
    return table
