"""``inferline tune replay``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import click

from inferline.cli.failures import INTERRUPTED
from inferline.cli.outputs import FORMAT, Seconds, write_text
from inferline.cli.progress import Tell, working
from inferline.cli.remarks import say_remarks
from inferline.cli.replay_tables import replay_document, replay_tables
from inferline.cli.tables import print_tables
from inferline.domain import Plan, draw_routes
from inferline.errors import Fault, InputError
from inferline.files import Inputs, load, read_configuration, read_plan
from inferline.files.faults import attempt
from inferline.laboratory import Experiment, Replay, draw_replays, experiment_of
from inferline.laboratory.known import replay_known
from inferline.units import NANO, format_duration
from planner.transitions.timetable import ASSUMED_ACTIVATION_NS, ActivationDelay, activation_delay
from tuner.policies import POLICIES

__all__ = ["command"]

_SUFFIXES = (".svg", ".png", ".pdf")


@click.command("replay")
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("--pipeline", type=click.Path(path_type=Path), required=True, help="pipeline.yaml of the plan.")
@click.option("--trace", type=click.Path(path_type=Path), required=True, help="The traffic, as it is.")
@click.option(
    "--policy",
    "policies",
    type=click.Choice(list(POLICIES)),
    multiple=True,
    metavar="NAME",
    help=f"Only this policy; may be given again.  [{', '.join(POLICIES)}; default: all]",
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
    "--picture",
    type=click.Path(path_type=Path),
    metavar="replay.png",
    help="Draw traffic, replicas and late queries over time: .svg, .png or .pdf.",
)
@FORMAT
@click.pass_context
def command(
    context: click.Context,
    /,
    plan: Path,
    pipeline: Path,
    trace: Path,
    policies: tuple[str, ...],
    activation_s: float | None,
    picture: Path | None,
    form: str,
) -> None:
    """Say what autoscaling policies would do with a plan on a trace.

    PLAN is a plan.json. It runs at the start of the trace; then each policy asks for replicas as it sees fit, in a
    simulation of every query. Replicas are paid from the request on, serve after the activation delay, and finish
    their batch when they are given up.

    \b
    Example:
      inferline tune replay plan.json --pipeline pipeline.yaml --trace tomorrow.csv.gz --activation 30s
    """
    if picture is not None:
        _check_picture(picture)
    with working(f"reading {pipeline}") as tell:
        inputs = load(pipeline, trace=trace)
        checked = _plan(plan, inputs)
        stages = inputs.pipeline.stages
        say_remarks(inputs, {(stage.model, checked.configuration[stage.name].hardware) for stage in stages})
        delays = _delays(inputs, checked, activation_s)
        tell("drawing routes")
        experiment = experiment_of(
            inputs.pipeline,
            inputs.profiles,
            checked,
            inputs.trace,
            draw_routes(inputs.pipeline, len(inputs.trace)),
            {name: delay.delay_ns for name, delay in delays.items()},
        )
        chosen = [name for name in POLICIES if name in policies or not policies]
        replays = _replays(experiment, chosen, tell)
    if form == "json":
        click.echo(json.dumps(replay_document(experiment, replays, delays), indent=2, ensure_ascii=False))
    else:
        print_tables(replay_tables(experiment, replays, delays))
    if picture is not None and replays:
        _draw(picture, replays)
    if len(replays) < len(chosen):
        click.echo(f"interrupted: {len(replays)} of {len(chosen)} policies were replayed", err=True)
        context.exit(INTERRUPTED)


def _plan(path: Path, inputs: Inputs) -> Plan:
    """Read the plan, and name every fault of it and of how it fits the pipeline and its profiles."""
    faults: list[Fault] = []
    attempt(faults, partial(read_configuration, path, inputs.pipeline, inputs.profiles))
    plan = attempt(faults, partial(read_plan, path, inputs.pipeline))
    if faults or plan is None:
        raise InputError(*dict.fromkeys(faults))
    return plan


def _delays(inputs: Inputs, plan: Plan, activation_s: float | None) -> Mapping[str, ActivationDelay]:
    """Return the activation delay of every stage."""
    given_ns = None if activation_s is None else round(activation_s * NANO)
    return {
        stage.name: activation_delay(inputs.profiles[stage.model, plan.configuration[stage.name].hardware], given_ns)
        for stage in inputs.pipeline.stages
    }


def _replays(experiment: Experiment, policies: Sequence[str], tell: Tell) -> list[Replay]:
    """Replay each policy, until somebody ends it."""
    done: list[Replay] = []
    try:
        for place, name in enumerate(policies, start=1):
            tell(f"{name} ({place} of {len(policies)}): simulating {len(experiment.trace):,} queries")
            done.append(replay_known(experiment, name))
    except KeyboardInterrupt:
        pass  # what is done is printed, and said to be all
    return done


def _check_picture(path: Path) -> None:
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(Fault("--picture", "", f"{str(path)!r} ends in none of {', '.join(_SUFFIXES)}"))
    try:
        import matplotlib  # noqa: F401, PLC0415 - optional
    except ImportError as error:
        raise InputError(f"--picture needs {error.name}: pip install 'inferline[report]'") from error


def _draw(path: Path, replays: Sequence[Replay]) -> None:
    drawn = draw_replays(replays)
    if path.suffix.lower() == ".svg":
        write_text(path, drawn.svg() + "\n")  # without a date: the same replays give the same bytes
        return
    try:
        drawn.save(path)
    except OSError as error:
        raise InputError(Fault(str(path), "", f"cannot be written: {error.strerror}")) from error
