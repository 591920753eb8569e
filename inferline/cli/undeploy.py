"""``inferline undeploy``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from inferline.cli.changing import changing
from inferline.cli.outputs import FORMAT, Seconds
from inferline.cli.pipeline_argument import pipeline_name
from inferline.cli.progress import working
from inferline.cli.server_options import ADMIN_TOKEN, QUERY_PORT, Server, ServerAddress, found_core, reached
from inferline.cli.targets import TARGETS, check_options, open_target, target_options
from inferline.errors import InferlineError
from serving_adapter.client.admin import AdminClient
from serving_adapter.deployment.readiness import await_gone
from serving_adapter.replicas import CoreAddress, SetKey

__all__ = ["command"]

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The arguments of ``inferline undeploy``, as the options name them."""

    pipeline: str
    target: str
    server: Server | None
    timeout_s: float
    admin_token: str | None
    engine_url: str | None
    namespace: str | None
    context: str | None
    image: str | None
    network: str | None
    options_file: Path | None
    form: str


@click.command()
@click.argument("pipeline")
@click.option("--target", type=click.Choice(TARGETS), default="local", show_default=True, help="Where replicas run.")
@click.option(
    "--server",
    type=ServerAddress(),
    metavar="HOST[:ADMIN_PORT]",
    help="A serving core that the target does not run: the pipeline is deleted there.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=Seconds(),
    default="2min",
    show_default=True,
    metavar="2min",
    help="How long replicas may take to end.",
)
@ADMIN_TOKEN
@target_options
@FORMAT
def command(**options: Any) -> None:  # noqa: ANN401 - the fields of Asked
    """Stop a pipeline: its replicas, and the serving core that the target runs for it.

    PIPELINE is its name, or its pipeline.yaml. Queries that are on their way are answered with the default.

    \b
    Example:
      inferline undeploy social-media --target docker
    """
    asked = Asked(**options)
    name = pipeline_name(asked.pipeline)
    check_options(asked)
    with (
        working(f"stopping {name}"),
        changing(asked, name, "inferline undeploy") as still_ours,
        closing(open_target(asked)) as target,
    ):
        replicas = {key: count for key, count in target.requested(name).items() if count}
        core = target.core(name)
        deleted_at = _deleted(asked, name, core)
        still_ours()
        target.stop(name)
        await_gone(target, name, None, 0, asked.timeout_s)
    stopped = Stopped(name=name, replicas=replicas, core=core, deleted_at=deleted_at)
    if asked.form == "json":
        click.echo(json.dumps(_document(asked, stopped), indent=2, ensure_ascii=False))
        return
    click.echo(_sentence(asked, stopped))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What there was: replicas by set, the target's serving core, and where the pipeline was registered."""

    name: str
    replicas: Mapping[SetKey, int]
    core: CoreAddress | None
    deleted_at: str


def _deleted(asked: Asked, name: str, core: CoreAddress | None) -> str:
    """Delete the pipeline from its serving core; return where that was, or nothing."""
    if asked.server is not None:
        return _delete(found_core(None, None, asked.server, QUERY_PORT).admin_url, name, asked.admin_token)
    if core is None:
        return ""
    try:
        return _delete(reached(core).admin_url, name, asked.admin_token)
    except InferlineError:  # it cannot be reached, and ends anyway
        return ""


def _delete(admin_url: str, name: str, token: str | None) -> str:
    with AdminClient(admin_url, token) as admin:
        if admin.get_pipeline(name) is None:
            return ""
        admin.delete_pipeline(name)
    return admin_url


def _sentence(asked: Asked, stopped: Stopped) -> str:
    parts = []
    if stopped.replicas:
        sets = ", ".join(
            f"{count} of {key.stage} {key.version} on {key.hardware}" for key, count in stopped.replicas.items()
        )
        count = sum(stopped.replicas.values())
        parts.append(f"stopped {count} replica{'' if count == 1 else 's'} ({sets})")
    if stopped.core is not None:
        parts.append(f"stopped the serving core at {stopped.core.host}:{stopped.core.query_port}")
    elif stopped.deleted_at:
        parts.append(f"deleted it from the serving core at {stopped.deleted_at}")
    if parts:
        return f"{stopped.name}: {', '.join(parts)}"
    where = f"target {asked.target}" + ("" if asked.server is None else f" or {asked.server.host}")
    return f"{stopped.name}: nothing of it is at {where}"


def _document(asked: Asked, stopped: Stopped) -> dict[str, Any]:
    core = stopped.core
    return {
        "version": VERSION,
        "pipeline": stopped.name,
        "target": asked.target,
        "stopped": [{**key._asdict(), "replicas": count} for key, count in stopped.replicas.items()],
        "core": None if core is None else {"host": core.host, "query_port": core.query_port},
        "deleted_at": stopped.deleted_at or None,
    }
