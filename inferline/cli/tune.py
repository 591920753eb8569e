"""``inferline tune``."""

from __future__ import annotations

import click

from inferline.cli import tune_daemon, tune_replay

__all__ = ["command"]


@click.group("tune")
def command() -> None:
    """Scale a plan's replicas as traffic changes.

    \b
    Example:
      inferline tune replay plan.json --pipeline pipeline.yaml --trace tomorrow.csv.gz
    """


command.add_command(tune_replay.command)
command.add_command(tune_daemon.command)
