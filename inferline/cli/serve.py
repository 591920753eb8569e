"""``inferline serve``."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from inferline.cli.outputs import Seconds
from inferline.errors import InputError

if TYPE_CHECKING:
    from serving_adapter.frontend.server import ServeOptions

__all__ = ["command"]

_OTHER_FILES = 4096
"""Model containers, the state, and what the process itself has open."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--query-port", type=click.IntRange(0, 65535), default=1337, show_default=True, help="For queries.")
@click.option(
    "--admin-port", type=click.IntRange(0, 65535), default=1338, show_default=True, help="For administration."
)
@click.option("--rpc-port", type=click.IntRange(0, 65535), default=7000, show_default=True, help="For containers.")
@click.option(
    "--state",
    default="sqlite:///inferline-state.sqlite",
    show_default=True,
    metavar="URL",
    help="Where the configuration is kept: memory://, sqlite:///FILE or redis://HOST:PORT.",
)
@click.option(
    "--cache-bytes",
    type=click.IntRange(0),
    default=32 * 2**20,
    show_default=True,
    help="What the prediction cache may take; 0 for none.",
)
@click.option(
    "--order",
    type=click.Choice(["arrival", "deadline"]),
    default="arrival",
    show_default=True,
    help="Order of the queues; by deadline the late are dropped, as Clipper does.",
)
@click.option(
    "--batching",
    type=click.Choice(["explore", "aimd"]),
    default="explore",
    show_default=True,
    help="What models registered with batch size -1 get.",
)
@click.option(
    "--batch-wait",
    "wait_s",
    type=Seconds(),
    default="0s",
    show_default=True,
    metavar="S",
    help="How long a batch may wait to fill.",
)
@click.option(
    "--queue-length",
    type=click.IntRange(1),
    default=100_000,
    show_default=True,
    help="Queries that may wait for one version of a model.",
)
@click.option(
    "--connections", type=click.IntRange(1), default=10_000, show_default=True, help="Open connections to each port."
)
@click.option(
    "--body-bytes", type=click.IntRange(1), default=32 * 2**20, show_default=True, help="Largest body of a request."
)
@click.option(
    "--drain",
    "drain_s",
    type=Seconds(),
    default="30s",
    show_default=True,
    metavar="S",
    help="How long queries in flight are waited for at the end.",
)
@click.option(
    "--silence",
    "silence_s",
    type=Seconds(),
    default="30s",
    show_default=True,
    metavar="S",
    help="When a silent container is dropped.",
)
@click.option("--admin-token", envvar="INFERLINE_ADMIN_TOKEN", help="Bearer token that the admin side asks for.")
@click.option(
    "--tls-certificate",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Certificate chain: TLS on the query and the admin port.",
)
@click.option(
    "--tls-key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Its key, when that is in another file.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of what policies draw.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
def command(**options: Any) -> None:  # noqa: ANN401 - one per option
    """Run the Clipper-compatible serving core.

    Clients send queries to the query port and register applications and models at the admin port; model containers
    connect to the RPC port. It ends on SIGTERM or ctrl-C, after it has answered what is in flight.

    \b
    Example:
      inferline serve --state sqlite:///serving.sqlite
    """
    logging.basicConfig(
        level=options.pop("log_level").upper(), format="time=%(asctime)s level=%(levelname)s %(message)s"
    )
    try:
        import uvloop  # noqa: PLC0415 - optional

        from serving_adapter.frontend.server import ServeOptions  # noqa: PLC0415 - optional
    except ImportError as error:
        raise InputError(f"serve needs {error.name}: pip install 'inferline[serve]'") from error
    uvloop.run(_serve(_options(ServeOptions, options)))


def _options(kind: type[ServeOptions], given: dict[str, Any]) -> ServeOptions:
    from serving_adapter.frontend.configuration import Defaults  # noqa: PLC0415 - optional
    from serving_adapter.frontend.http import Limits  # noqa: PLC0415 - optional
    from serving_adapter.frontend.listening import Tls  # noqa: PLC0415 - optional

    limits = Limits(
        body_bytes=given.pop("body_bytes"), queued=given.pop("queue_length"), connections=given.pop("connections")
    )
    defaults = Defaults(
        order=given.pop("order"), batching=given.pop("batching"), wait_ns=int(given.pop("wait_s") * 1e9)
    )
    certificate, key = given.pop("tls_certificate"), given.pop("tls_key")
    if key is not None and certificate is None:
        raise InputError("--tls-key needs --tls-certificate")
    tls = None if certificate is None else Tls(certificate=certificate, key=key)
    return kind(limits=limits, defaults=defaults, tls=tls, token=given.pop("admin_token"), **given)


async def _serve(options: ServeOptions) -> None:
    from serving_adapter.frontend.server import Server  # noqa: PLC0415 - optional

    _allow_connections(2 * options.limits.connections)
    server = Server(options)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await server.start()
    # What is there now stays: looking through it again and again is what a busy core has no time for.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
    at = f"{'http' if options.tls is None else 'https'}://{options.host}"
    click.echo(f"queries {at}:{server.query_port}  admin {at}:{server.admin_port}", err=True)
    click.echo(f"model containers tcp://{options.host}:{server.rpc_port}", err=True)
    await ended.wait()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)  # a second one ends it at once
    await server.stop()


def _allow_connections(count: int) -> None:
    """Raise the bound of open files as far as that is allowed: it is often 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
