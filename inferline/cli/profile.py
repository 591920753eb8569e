"""``inferline profile``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from inferline.cli import profile_show
from inferline.cli.failures import INTERRUPTED
from inferline.cli.outputs import FORMAT, Seconds
from inferline.cli.profile_measuring import measure_all
from inferline.cli.profile_outcome import kept, print_outcome
from inferline.cli.profile_preparation import Asked, prepare
from inferline.cli.profile_progress import watching
from inferline.errors import Fault, InputError, OutsideError, UnitError
from inferline.files.limits import MAX_SEED
from inferline.units import parse_share
from profiler.results import Limits

__all__ = ["command"]


class _Share(click.ParamType[float]):
    """A share option: ``2%`` or ``0.02``."""

    name = "share"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the share, or say what would be accepted."""
        try:
            return parse_share(value)
        except UnitError as error:
            self.fail(str(error), param, ctx)


class _Profile(click.Group):
    """Measures when the first argument is none of its commands: PIPELINE stands where a command would."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401 - click's signature
    ) -> click.Context:
        """Return the context of one of the commands, or of measuring."""
        if args and args[0] in self.commands:
            return super().make_context(info_name, args, parent, **extra)
        return _measure.make_context(info_name, args, parent, **extra)


@click.group("profile", cls=_Profile)
def command() -> None:
    """Measure the models of a pipeline, or show what was measured."""


command.add_command(profile_show.command)


@click.command("profile")
@click.argument("pipeline", type=click.Path(path_type=Path))
@click.option("--stage", "stages", multiple=True, metavar="NAME", help="Only this stage; may be given again.")
@click.option("--hardware", multiple=True, metavar="NAME", help="Only on this hardware; may be given again.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="profiles.csv",
    help="Write the rows here; rows of other models stay.  [default: the pipeline's first profile file]",
)
@click.option("--resume", is_flag=True, help="Leave out what an earlier run has measured on this machine.")
@click.option(
    "--precision",
    type=_Share(),
    default="2%",
    show_default=True,
    help="A row is done when the 95 % interval of its mean is this narrow, up and down (and that of its P99 10 %).",
)
@click.option(
    "--budget",
    "budget_s",
    type=Seconds(),
    default="10s",
    show_default=True,
    metavar="10s",
    help="The most time for a row.",
)
@click.option(
    "--batch-timeout",
    "batch_timeout_s",
    type=Seconds(),
    default="60s",
    show_default=True,
    metavar="60s",
    help="A batch that takes longer hangs.",
)
@click.option(
    "--load-timeout",
    "load_timeout_s",
    type=Seconds(),
    default="5min",
    show_default=True,
    metavar="5min",
    help="A model that loads longer hangs.",
)
@click.option(
    "--colocated",
    type=click.IntRange(1, 256),
    default=1,
    metavar="K",
    help="Also measure how much slower K replicas are side by side on this machine.",
)
@click.option(
    "--samples",
    type=click.IntRange(1, 10_000),
    default=64,
    show_default=True,
    metavar="N",
    help="Inputs to run through the pipeline for the stages behind others, and for conditions.",
)
@click.option("--seed", type=click.IntRange(0, MAX_SEED), default=0, metavar="S", help="Seed of inputs and order.")
@FORMAT
@click.pass_context
def _measure(
    context: click.Context,
    /,
    pipeline: Path,
    stages: tuple[str, ...],
    hardware: tuple[str, ...],
    out: Path | None,
    resume: bool,
    samples: int,
    form: str,
    **limits: Any,  # noqa: ANN401 - the fields of Limits
) -> None:
    """Measure how long each model of a pipeline takes at each batch size.

    PIPELINE is a pipeline.yaml whose models: say how to run them. Measures on this machine, on the hardware that it
    can stand for, and writes profiles.csv while it does; ctrl-C keeps what is there.

    \b
    Example:
      inferline profile pipeline.yaml --stage detect --budget 5s
      inferline profile pipeline.yaml --resume
      inferline profile show profiles.csv --picture profiles.svg
    """
    _check_durations(limits)
    asked = Asked(
        pipeline=pipeline,
        stages=stages,
        hardware=hardware,
        out=out,
        resume=resume,
        samples=samples,
        limits=Limits(**limits),
    )
    with watching() as board:
        prepared = prepare(asked, board)
        came = measure_all(asked.limits, prepared, board)
    print_outcome(prepared, came.failures, form)
    if came.interrupted:
        click.echo(f"interrupted: {kept(prepared.record)}; --resume goes on from there", err=True)
        context.exit(INTERRUPTED)
    if came.failures:
        raise OutsideError("\n  ".join([f"{kept(prepared.record)}, but not all could be measured:", *came.failures]))


def _check_durations(limits: dict[str, Any]) -> None:
    options = {"budget_s": "--budget", "batch_timeout_s": "--batch-timeout", "load_timeout_s": "--load-timeout"}
    if zero := [option for name, option in options.items() if not limits[name]]:
        raise InputError(*(Fault(option, "", "is 0; give it some time") for option in zero))
