"""``inferline diff``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import click

from inferline.cli.outputs import FORMAT, Seconds
from inferline.cli.progress import working
from inferline.cli.tables import print_tables
from inferline.cli.transition_tables import changes_table, step_tables, verdict_lines
from inferline.domain import Configuration
from inferline.errors import Fault, InputError
from inferline.files import Inputs, load, read_configuration
from inferline.files.faults import attempt
from inferline.units import NANO, format_duration
from planner import Problem, pose
from planner.transitions.rehearsal import rehearse
from planner.transitions.timetable import ASSUMED_ACTIVATION_NS, ActivationDelay, Pace, activation_delays
from planner.transitions.transition_document import transition_document

__all__ = ["command"]


@click.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option(
    "--pipeline",
    type=click.Path(path_type=Path),
    required=True,
    help="pipeline.yaml of both plans: its stages, profiles, prices, limits, SLO and trace.",
)
@click.option("--trace", type=click.Path(path_type=Path), help="Another trace than the pipeline's, as it is.")
@click.option(
    "--at",
    "at_s",
    type=Seconds(),
    metavar="10min",
    help="When in the trace the first step begins.  [default: where most queries arrive during the transition]",
)
@click.option(
    "--activation",
    "activation_s",
    type=Seconds(),
    metavar="5s",
    help="From the request for a replica to its first answer, for all of them.  "
    f"[default: load_s of the profiles; {format_duration(ASSUMED_ACTIVATION_NS)} where they have none]",
)
@click.option(
    "--settle",
    "settle_s",
    type=Seconds(),
    default="15s",
    show_default=True,
    metavar="15s",
    help="From the end of a step to the beginning of the next.",
)
@FORMAT
def command(
    old: Path,
    new: Path,
    pipeline: Path,
    trace: Path | None,
    at_s: float | None,
    activation_s: float | None,
    settle_s: float,
    form: str,
) -> None:
    """Say how to get from one plan to another, and what queries see meanwhile.

    OLD and NEW are plan.json files of one pipeline. The steps are ordered so that capacity comes before it goes, one
    hardware at a time, within the hardware's limits. Then the transition is simulated on the trace, activation delays
    included. An SLO that is missed on the way is reported; the exit code is 0.

    \b
    Example:
      inferline diff today.json tomorrow.json --pipeline pipeline.yaml --activation 90s
    """
    with working(f"reading {pipeline}") as tell:
        inputs = load(pipeline, trace=trace)
        problem = pose(inputs.pipeline, inputs.profiles, inputs.trace)
        before, after = _configurations(problem, inputs, old, new, at_s)
        delays = _delays(inputs, before, after, activation_s)
        pace = Pace(
            activation_ns={added: delay.delay_ns for added, delay in delays.items()},
            settle_ns=round(settle_s * NANO),
            begin_ns=None if at_s is None else round(at_s * NANO),
        )
        tell(f"simulating the transition on {len(inputs.trace):,} queries")
        rehearsal = rehearse(problem, before, after, pace)
    if form == "json":
        click.echo(json.dumps(transition_document(problem, rehearsal, pace, delays), indent=2, ensure_ascii=False))
        return
    parts = [changes_table(problem.pipeline, before, after)]
    if rehearsal.steps:
        parts += step_tables(problem, rehearsal)
    print_tables([*parts, "\n".join(verdict_lines(problem, rehearsal, pace, delays))])


def _configurations(
    problem: Problem, inputs: Inputs, old: Path, new: Path, at_s: float | None
) -> tuple[Configuration, Configuration]:
    """Read both plans, and name every fault of both and of how they fit the pipeline."""
    faults: list[Fault] = []
    read: list[Configuration] = []
    for path in (old, new):
        found = attempt(faults, partial(read_configuration, path, inputs.pipeline, inputs.profiles))
        if found is not None:
            read.append(found)
            # What runs already may be beyond a limit, which may have been lowered since; what shall run may not.
            if path is new:
                faults += _beyond_limits(problem, path, found)
    if at_s is not None and at_s * NANO > inputs.trace.duration_ns:
        end = format_duration(inputs.trace.duration_ns)
        faults.append(Fault("--at", "", f"{format_duration(at_s * NANO)} is after the end of the trace, at {end}"))
    if faults:
        raise InputError(*dict.fromkeys(faults))
    before, after = read
    return before, after


def _beyond_limits(problem: Problem, path: Path, configuration: Configuration) -> list[Fault]:
    used = configuration.units()
    return [
        Fault(
            str(path),
            "stages",
            f"use {used[name]} units of {name!r}; its limit is {problem.pipeline.unit(name).limit}",
        )
        for name in configuration.exceeded_limits(problem.pipeline)
    ]


def _delays(
    inputs: Inputs, before: Configuration, after: Configuration, activation_s: float | None
) -> Mapping[tuple[str, str], ActivationDelay]:
    given_ns = None if activation_s is None else round(activation_s * NANO)
    return activation_delays(inputs.pipeline, inputs.profiles, before, after, given_ns)
