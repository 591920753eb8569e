"""``--confidence`` and ``--sensitivity`` of ``inferline plan``: their options and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import click
from rich.table import Table

from inferline.cli.progress import Tell
from inferline.cli.tables import share
from inferline.cli.uncertainty_document import Uncertainty
from inferline.domain import Configuration, Pipeline, Plan
from inferline.errors import Fault, InputError
from inferline.units import format_duration, format_usd
from planner import Found, Infeasible, Observe, Problem, plan_of
from planner.uncertainty.confidence import Confident, plan_with_confidence
from planner.uncertainty.sensitivity import CHANGES, Outcome, Sensitivity, sensitivity
from planner.uncertainty.world_shares import Share
from planner.uncertainty.worlds import Profiles, Worlds, block_length_ns

__all__ = [
    "CONFIDENCE",
    "SENSITIVITY",
    "check_alone",
    "confident_cost_line",
    "uncertainty_parts",
    "weigh",
]

CONFIDENCE = click.option(
    "--confidence",
    type=click.FloatRange(0.5, 0.99),
    metavar="P",
    help="Meet the SLO in at least this share (0.5 to 0.99) of resampled worlds, not only on the trace itself.",
)
SENSITIVITY = click.option(
    "--sensitivity",
    "sensitive",
    is_flag=True,
    help="Say what other rates, probabilities and service times would do to the plan; --confidence says it, too.",
)


def check_alone(confidence: float | None, others: Mapping[str, object]) -> None:
    """Check that nothing is asked for together with a confidence that it says nothing about.

    Raises
    ------
    InputError
        With every option that is.
    """
    if confidence is not None and (given := [name for name, value in others.items() if value]):
        raise InputError(
            *(Fault(name, "", "cannot be combined with --confidence: it judges by the trace alone") for name in given)
        )


def weigh(
    problem: Problem,
    profiles: Profiles,
    plan: Plan,
    confidence: float | None,
    *,
    sensitive: bool,
    time_limit_s: float,
    tell: Tell,
    observe: Observe,
) -> tuple[Plan, Uncertainty] | Infeasible:
    """Plan with confidence, and say what the plan can bear, as far as it is asked for.

    Parameters
    ----------
    problem, profiles
        What was planned.
    plan
        The plan for the trace itself: from it the search starts.
    confidence
        The share of worlds that must meet the SLO; None to keep the plan.
    sensitive
        Whether the sensitivity table is asked for; with a confidence it is made in any case.
    time_limit_s
        When the search with confidence ends.
    tell, observe
        Told of what is going on, and of every step of the search.

    Returns
    -------
    tuple
        The plan - with confidence it is ``feasible``, by the planner ``confident`` - and what was found out.
    """
    if confidence is None:
        return plan, Uncertainty(changes=sensitivity(problem, plan.configuration, tell) if sensitive else None)
    answer = plan_with_confidence(
        problem, profiles, plan.configuration, confidence, time_limit_s=time_limit_s, observe=observe
    )
    if isinstance(answer, Infeasible):
        return answer
    bounded = Found(
        configuration=answer.configuration, lower_bound_nano_usd_per_hour=answer.lower_bound_nano_usd_per_hour
    )
    # Even where the bound meets the cost, nothing is proved about the trace itself: never `optimal`.
    made = replace(plan_of(problem, bounded, "confident", plan.inputs), status="feasible")
    return made, Uncertainty(
        confident=answer,
        block_ns=block_length_ns(problem.trace.duration_ns),
        constant=_without_spread(problem, profiles, answer.configuration),
        changes=sensitivity(problem, answer.configuration, tell),
    )


def confident_cost_line(plan: Plan, found: Uncertainty) -> str | None:
    """Return cost and bound of a plan with confidence in one line; None for another plan."""
    if found.confident is None:
        return None
    bound = format_usd(plan.lower_bound_nano_usd_per_hour)
    ended = "; the time limit ended the search" if found.confident.out_of_time else ""
    return (
        f"cost     {format_usd(plan.cost_nano_usd_per_hour)}/h (no plan that meets the SLO in "
        f"{share(found.confident.confidence)} of the planning worlds can cost less than {bound}/h: "
        f"gap {share(plan.gap)}{ended})"
    )


def uncertainty_parts(pipeline: Pipeline, plan: Plan, found: Uncertainty) -> list[Table | str]:
    """Return what is printed below the plan, in order."""
    parts: list[Table | str] = []
    if found.confident is not None:
        parts += [_confidence_table(pipeline, plan, found.confident), _confidence_lines(found, found.confident)]
    if found.changes is not None:
        parts += [_sensitivity_table(plan, found.changes), _sensitivity_lines(found.changes)]
    return parts


def _confidence_table(pipeline: Pipeline, plan: Plan, answer: Confident) -> Table:
    """Return the plan beside the one without confidence: cost, and the share of fresh worlds that meet the SLO."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("worlds that meet the SLO", "$/h", "planned", "checked", "fresh", "95% interval"):
        table.add_column(name, justify="left" if name.startswith("worlds") else "right", no_wrap=True)
    low, high = answer.fresh.interval()
    table.add_row(
        f"this plan ({share(answer.confidence)} asked for)",
        format_usd(plan.cost_nano_usd_per_hour),
        _of(answer.planned),
        ", ".join(map(_of, answer.checked)),
        f"{share(answer.fresh.value)} ({_of(answer.fresh)})",
        f"{share(low)} to {share(high)}",
    )
    low, high = answer.plain_fresh.interval()
    table.add_row(
        "without --confidence",
        format_usd(answer.plain.cost_nano_usd_per_hour(pipeline)),
        "-",
        "-",
        f"{share(answer.plain_fresh.value)} ({_of(answer.plain_fresh)})",
        f"{share(low)} to {share(high)}",
    )
    return table


def _of(found: Share) -> str:
    return f"{found.met} of {found.of}"


def _confidence_lines(found: Uncertainty, answer: Confident) -> str:
    lines = [
        f"worlds   blocks of {format_duration(found.block_ns)} of the trace, routes drawn again, service times drawn "
        f"per batch; {answer.required} of {answer.planned.of} planning worlds had to be met",
    ]
    if found.constant:
        stages = "; ".join(f"{name} (batch {', '.join(map(str, sizes))})" for name, sizes in found.constant.items())
        lines.append(f"constant service times, for lack of percentiles and deviations in the profile: {stages}")
    return "\n".join(lines)


def _without_spread(
    problem: Problem, profiles: Profiles, configuration: Configuration
) -> Mapping[str, tuple[int, ...]]:
    """Return, per stage of a configuration, the batch sizes it may run that have no spread; none left out."""
    constant = Worlds(problem, profiles).times.constant
    found = {
        name: tuple(size for size in constant[name][chosen.hardware] if size <= chosen.max_batch)
        for name, chosen in configuration.items()
    }
    return {name: sizes for name, sizes in found.items() if sizes}


def _sensitivity_table(plan: Plan, table: Sensitivity) -> Table:
    """Return one row per thing that is changed: the percentile's latency and the share of late queries."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column(f"P{plan.slo.percentile} / late, when changed by", overflow="fold")
    for change in CHANGES:
        shown.add_column(f"{change:+d}%", justify="right", no_wrap=True)
    for line in table.lines:
        shown.add_row(line.name, *(_cell(each) for each in line.outcomes))
    return shown


def _cell(outcome: Outcome) -> str:
    broken = "" if outcome.slo_met else " !"
    return f"{format_duration(outcome.at_slo_ns)} / {share(outcome.miss_rate)}{broken}"


def _sensitivity_lines(table: Sensitivity) -> str:
    first = table.first_break()
    if not table.unchanged.slo_met:
        told = "the SLO is missed without any change"
    elif first is None:
        told = "none of these changes breaks the SLO"
    else:
        name, outcome = first
        told = f"first to break the SLO (!): {name} {outcome.change:+d}%, with {share(outcome.miss_rate)} late"
    notes = [
        f"{line.name} {each.change:+d}%: {each.note}" for line in table.lines for each in line.outcomes if each.note
    ]
    return "\n".join([told, *notes])
