"""The command line: one verb per file; tables, progress and exit codes live here and nowhere else."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Mapping
from types import MappingProxyType

import click

from inferline import __version__
from inferline.cli.failures import ending_well

__all__ = ["main"]

VERBS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "plan": ("inferline.cli.plan", "Find the cheapest configuration that meets the SLO."),
        "simulate": ("inferline.cli.simulate", "Say what a configuration would do on a trace."),
        "profile": ("inferline.cli.profile", "Measure how long each model takes at each batch size."),
        "diff": ("inferline.cli.diff", "Say how to get from one plan to another, and what queries see meanwhile."),
        "tune": ("inferline.cli.tune", "Scale a plan's replicas as traffic changes."),
        "serve": ("inferline.cli.serve", "Run the Clipper-compatible serving core."),
        "deploy": ("inferline.cli.deploy", "Start a plan's replicas behind a serving core, or move to another plan."),
        "status": ("inferline.cli.status", "Say how deployed pipelines are doing."),
        "undeploy": ("inferline.cli.undeploy", "Stop a deployed pipeline."),
        "load": ("inferline.cli.load", "Send traffic and measure."),
        "schema": ("inferline.cli.schema", "Print the JSON Schema of pipeline.yaml."),
    }
)
"""Where each verb lives, and its line in the help: importing it costs too much to ask it."""


class _Verbs(click.Group):
    """A group that imports a verb only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        # The first import after an installation compiles the simulator: say so when it takes that long.
        late = threading.Timer(1.5, _say_compiling)
        late.start()
        try:
            command: click.Command = importlib.import_module(VERBS[cmd_name][0]).command
        finally:
            late.cancel()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in VERBS.items()])


def _say_compiling() -> None:
    if sys.stderr.isatty():
        click.echo("compiling the simulator, once after installation ...", err=True)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="inferline")
def _inferline() -> None:
    """Plan and scale multi-stage inference pipelines.

    \b
    Example:
      inferline plan examples/social-media/pipeline.yaml
    """


def main() -> None:
    """Run the command line and end the process with the exit code of `docs/reference/commands.md`."""
    ending_well(_inferline)
