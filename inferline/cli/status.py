"""``inferline status``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live

from inferline.cli.outputs import FORMAT, Seconds
from inferline.cli.pipeline_argument import pipeline_name
from inferline.cli.server_options import (
    ADMIN_PORT,
    ADMIN_TOKEN,
    QUERY_PORT,
    Reached,
    Server,
    ServerAddress,
    found_core,
)
from inferline.cli.status_tables import status_document, status_parts
from inferline.cli.tables import print_tables
from inferline.cli.targets import TARGETS, open_target, target_options
from inferline.errors import Fault, InputError
from inferline.files.wording import listed, shown, suggestion
from serving_adapter.client.admin import AdminClient
from serving_adapter.client.documents import PipelineDocument
from serving_adapter.deployment.looks import Look, look_at
from serving_adapter.deployment.status import PipelineStatus, TargetView, status_of
from serving_adapter.replicas import Target

__all__ = ["command"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The arguments of ``inferline status``, as the options name them."""

    pipeline: str | None
    target: str | None
    server: Server | None
    query_port: int
    watch: bool
    over_s: float
    admin_token: str | None
    engine_url: str | None
    namespace: str | None
    context: str | None
    image: str | None
    network: str | None
    options_file: Path | None
    form: str


@click.command()
@click.argument("pipeline", required=False)
@click.option("--target", type=click.Choice(TARGETS), help="Also say what is asked for there, and what fails.")
@click.option(
    "--server",
    type=ServerAddress(),
    metavar="HOST[:ADMIN_PORT]",
    help=f"The serving core.  [default: the target's, or 127.0.0.1:{ADMIN_PORT}]",
)
@click.option("--query-port", type=click.IntRange(1, 65535), default=QUERY_PORT, help="Its port for queries.")
@click.option("--watch", is_flag=True, help="Look again and again, until ctrl-C.")
@click.option(
    "--over",
    "over_s",
    type=Seconds(),
    default="2s",
    show_default=True,
    metavar="2s",
    help="Time between two looks, over which rates are taken.",
)
@ADMIN_TOKEN
@target_options
@FORMAT
def command(**options: Any) -> None:  # noqa: ANN401 - the fields of Asked
    """Say how deployed pipelines are doing.

    PIPELINE is the name of a pipeline, or its pipeline.yaml; all pipelines of the core without it. Shows what is
    planned, asked for and there, and what the core has counted between two looks.

    \b
    Example:
      inferline status social-media --target local --watch
    """
    asked = Asked(**options)
    if asked.watch and asked.form == "json":
        raise InputError(Fault("--watch", "", "prints again and again, --format json one document; take one of them"))
    if not asked.over_s:
        raise InputError(Fault("--over", "", "is 0; give it some time"))
    with ExitStack() as stack:
        target = None if asked.target is None else stack.enter_context(closing(open_target(asked)))
        name = None if asked.pipeline is None else pipeline_name(asked.pipeline)
        at = found_core(target, name, asked.server, asked.query_port)
        admin = stack.enter_context(AdminClient(at.admin_url, asked.admin_token))
        looks = _looking(asked, at, admin, target, name)
        if asked.watch:
            _watch(at, looks)
            return
        seen = next(looks)
        if asked.form == "json":
            click.echo(json.dumps(status_document(at, seen.statuses, seen.records), indent=2, ensure_ascii=False))
            return
        print_tables(status_parts(at, seen.statuses))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    statuses: Sequence[PipelineStatus]
    records: Sequence[PipelineDocument]


def _looking(
    asked: Asked, at: Reached, admin: AdminClient, target: Target | None, name: str | None
) -> Iterator[_Seen]:
    """Look, and look again; yield what has come of each pair of looks."""
    _records(admin, name)  # before anything is waited for
    before, before_s = look_at(at.query_url), monotonic()
    while True:
        sleep(asked.over_s)
        records = _records(admin, name)
        now, now_s = look_at(at.query_url), monotonic()
        statuses = [_status(record, before, now, now_s - before_s, target) for record in records]
        yield _Seen(statuses=statuses, records=records)
        before, before_s = now, now_s


def _records(admin: AdminClient, name: str | None) -> list[PipelineDocument]:
    if name is None:
        return admin.get_all_pipelines()
    record = admin.get_pipeline(name)
    if record is None:
        there = [each["name"] for each in admin.get_all_pipelines()]
        near = suggestion(name, there) or f"; there are: {listed(there)}"
        raise InputError(f"no pipeline {shown(name)} is registered at {admin.url}{near}")
    return [record]


def _status(
    record: PipelineDocument, before: Look, now: Look, over_s: float, target: Target | None
) -> PipelineStatus:
    view = None
    if target is not None:
        name = record["name"]
        view = TargetView(requested=target.requested(name), replicas=target.list(name))
    return status_of(record, before, now, over_s, view)


def _watch(at: Reached, looks: Iterator[_Seen]) -> None:
    """Show what is seen until somebody ends it."""
    console = Console(highlight=False)
    try:
        if not console.is_terminal:
            for place, seen in enumerate(looks):
                print_tables([*([""] if place else []), *status_parts(at, seen.statuses)])
            return
        with Live(console=console, auto_refresh=False) as live:
            for seen in looks:
                parts = status_parts(at, seen.statuses)
                live.update(Group(*(each for part in parts for each in (part, ""))), refresh=True)
    except KeyboardInterrupt:
        return
