"""Where a serving core is, as options say it and as it is reached from here."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import click

from inferline.errors import Fault, InputError, OutsideError
from serving_adapter.replicas import CoreAddress, Target

__all__ = [
    "ADMIN_PORT",
    "ADMIN_TOKEN",
    "QUERY_PORT",
    "Reached",
    "Server",
    "ServerAddress",
    "address",
    "found_core",
    "reached",
]

QUERY_PORT = 1337
ADMIN_PORT = 1338

ADMIN_TOKEN = click.option(
    "--admin-token",
    envvar="INFERLINE_ADMIN_TOKEN",
    metavar="TEXT",
    help="Bearer token of the admin port; better in INFERLINE_ADMIN_TOKEN.",
)


@dataclass(frozen=True, slots=True)
class Server:
    """A server as an option names it; without a port where none was given."""

    scheme: str
    host: str
    admin_port: int | None


class ServerAddress(click.ParamType[Server]):
    """An address option: ``HOST``, ``HOST:ADMIN_PORT``, or a URL of these."""

    name = "server"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Server:
        """Read the address, or say what would be accepted."""
        if isinstance(value, Server):
            return value
        text = str(value)
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or parts.scheme not in {"http", "https"} or parts.path.strip("/") or parts.query or port == 0:
            self.fail(f"{text!r} is no server; write HOST or HOST:ADMIN_PORT, like 10.0.0.5:1338", param, ctx)
        return Server(parts.scheme, host, port)


@dataclass(frozen=True, slots=True)
class Reached:
    """A serving core as it is reached from here."""

    scheme: str
    host: str
    query_port: int
    admin_port: int

    @property
    def query_url(self) -> str:
        """Where queries go."""
        return f"{self.scheme}://{_written(self.host)}:{self.query_port}"

    @property
    def admin_url(self) -> str:
        """Where it is administered."""
        return f"{self.scheme}://{_written(self.host)}:{self.admin_port}"

    @property
    def is_usual(self) -> bool:
        """Whether it is where commands look when nobody says where."""
        return (self.scheme, self.host, self.query_port, self.admin_port) == _USUAL

    def predict_url(self, pipeline: str) -> str:
        """Return where the queries of a pipeline go."""
        return f"{self.query_url}/{quote(pipeline, safe='')}/predict"


_USUAL = ("http", "127.0.0.1", QUERY_PORT, ADMIN_PORT)


def _written(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def reached(core: CoreAddress, by: Server | None = None, *, tls: bool = False, option: str = "--server") -> Reached:
    """Return how a serving core is reached.

    Parameters
    ----------
    core
        Where it listens, as replicas see it.
    by
        What leads there from here instead; None for its own address.
    tls
        Whether it asks for TLS.
    option
        The option that says what leads there.

    Raises
    ------
    OutsideError
        When its name means nothing here.
    """
    if by is not None:
        return Reached(by.scheme, by.host, core.query_port, by.admin_port or core.admin_port)
    host = "127.0.0.1" if core.host in {"", "0.0.0.0", "::"} else core.host
    try:
        socket.getaddrinfo(host, core.admin_port)
    except OSError as error:
        raise OutsideError(
            f"the serving core is at {host}:{core.admin_port}, a name that leads nowhere from here ({error}); make a "
            f"way there, like kubectl port-forward, and say {option} HOST[:ADMIN_PORT]"
        ) from error
    return Reached("https" if tls else "http", host, core.query_port, core.admin_port)


def found_core(target: Target | None, pipeline: str | None, server: Server | None, query_port: int) -> Reached:
    """Return how the serving core of a pipeline is reached: the one that is named, else the target's, else the usual.

    Parameters
    ----------
    target, pipeline
        Who may run one, and for what; None where nobody is asked.
    server, query_port
        The one that is named; None for none.
    """
    if server is not None:
        named = CoreAddress(host=server.host, query_port=query_port, admin_port=server.admin_port or ADMIN_PORT)
        return reached(named, server)
    own = None if target is None or pipeline is None else target.core(pipeline)
    return reached(own or CoreAddress(query_port=query_port, host=_USUAL[1]))


def address(server: Server, query_port: int, admin_port: int, rpc_port: int) -> CoreAddress:
    """Return the address of a serving core that runs already; replicas are told the same.

    Raises
    ------
    InputError
        When a port is 0.
    """
    ports = {"--query-port": query_port, "--admin-port": server.admin_port or admin_port, "--rpc-port": rpc_port}
    if zero := [option for option, port in ports.items() if not port]:
        raise InputError(*(Fault(option, "", "is 0; a server that runs already has a port") for option in zero))
    return CoreAddress(
        host=server.host, query_port=query_port, admin_port=server.admin_port or admin_port, rpc_port=rpc_port
    )
