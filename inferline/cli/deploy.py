"""``inferline deploy``."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from inferline.cli.changing import changing
from inferline.cli.deploy_board import watching
from inferline.cli.deploy_document import deployed_document
from inferline.cli.deploy_dry import dry_run
from inferline.cli.deploy_tables import deployed_parts
from inferline.cli.deploying import Asked, check, deploy
from inferline.cli.failures import INTERRUPTED
from inferline.cli.outputs import FORMAT, Seconds
from inferline.cli.server_options import ADMIN_PORT, ADMIN_TOKEN, QUERY_PORT, ServerAddress
from inferline.cli.tables import print_tables
from inferline.cli.targets import TARGETS, open_target, target_options
from serving_adapter.deployment import read_files
from serving_adapter.deployment.versions import asked_versions

__all__ = ["command"]

_PORT = click.IntRange(0, 65535)


@click.command()
@click.argument("plan", type=click.Path(path_type=Path))
@click.option(
    "--pipeline", type=click.Path(path_type=Path), required=True, help="pipeline.yaml of the plan, with its models:."
)
@click.option("--target", type=click.Choice(TARGETS), default="local", show_default=True, help="Where replicas run.")
@click.option(
    "--server",
    type=ServerAddress(),
    metavar="HOST[:ADMIN_PORT]",
    help="A serving core that runs already, for replicas too; without it the target runs one.",
)
@click.option(
    "--reach",
    type=ServerAddress(),
    metavar="HOST[:ADMIN_PORT]",
    help="How the core is reached from here, where its own address does not lead there: kubectl port-forward.",
)
@click.option("--dry-run", is_flag=True, help="Print the steps from nothing, or Kubernetes manifests; ask nobody.")
@click.option(
    "--version",
    "versions",
    multiple=True,
    metavar="[STAGE=]TEXT",
    help="Run as this version, as when a model has changed and its entry has not; may be given again.",
)
@click.option(
    "--allow-gaps", is_flag=True, help="Go on where a hardware limit leaves a stage without replicas for a while."
)
@click.option(
    "--timeout",
    "timeout_s",
    type=Seconds(),
    default="5min",
    show_default=True,
    metavar="5min",
    help="How long replicas may take until they can serve.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that the target's core listens on.")
@click.option("--query-port", type=_PORT, default=QUERY_PORT, show_default=True, help="For queries.")
@click.option("--admin-port", type=_PORT, default=ADMIN_PORT, show_default=True, help="For administration.")
@click.option("--rpc-port", type=_PORT, default=7000, show_default=True, help="For replicas.")
@click.option(
    "--serve-option",
    "serve_options",
    multiple=True,
    metavar="--NAME=VALUE",
    help="Further option of inferline serve for the target's core; may be given again.",
)
@ADMIN_TOKEN
@target_options
@FORMAT
@click.pass_context
def command(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - the fields of Asked
    """Start a plan's replicas behind a serving core, or move what runs to another plan without losing a query.

    PLAN is a plan.json of the pipeline. Replicas that the plan asks for are started before others are stopped. The
    same command again changes nothing, or goes on where an attempt ended.

    \b
    Example:
      inferline deploy plan.json --pipeline pipeline.yaml
      inferline deploy plan.json --pipeline pipeline.yaml --target kubernetes --image registry/app:3 --dry-run
    """
    asked = Asked(**options)
    files = read_files(asked.pipeline, asked.plan)
    versions = asked_versions(asked.versions, files.stages)
    if asked.dry_run:
        click.echo(dry_run(asked, files, versions), nl=False)
        return
    check(asked)
    with watching() as board:
        board.tell("looking whether somebody else is changing it")
        with (
            changing(asked, files.pipeline.name, f"inferline deploy {asked.plan}") as still_ours,
            closing(open_target(asked)) as target,
        ):
            done = deploy(asked, files, versions, target, board, still_ours)
    if done is None:
        context.exit(INTERRUPTED)
    if asked.form == "json":
        click.echo(json.dumps(deployed_document(asked, files, done), indent=2, ensure_ascii=False))
        return
    print_tables(deployed_parts(asked, files, done))
