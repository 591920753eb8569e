"""An ASGI application on a port, inside an event loop that has other things to do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from inferline.errors import InputError, OutsideError
from serving_adapter.frontend.connections import bounded
from serving_adapter.frontend.http import App, Limits

__all__ = ["Listener", "Tls", "address_of", "listen"]

_BACKLOG = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files for TLS.

    Parameters
    ----------
    certificate
        Certificate chain.
    key
        Private key; None when it is in the same file.
    """

    certificate: Path
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """An application that is being served on ``port``."""

    port: int
    _server: _Uvicorn
    _running: asyncio.Task[None]

    async def stop(self, patience_s: float) -> None:
        """Take no more connections, answer those that are open, as far as there is time, and end."""
        self._server.config.timeout_graceful_shutdown = patience_s  # type: ignore[assignment]  # any number will do
        self._server.should_exit = True
        self._server.asked_to_exit.set()
        await self._running


def address_of(host: str) -> str:
    """Return the address that a name stands for; an address stands for itself.

    Raises
    ------
    OutsideError
        When it stands for none.
    """
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][4][0])
    except (OSError, UnicodeError) as error:
        raise OutsideError(f"cannot listen on {host}: {error}; is it an address of this machine?") from error


async def listen(app: App, address: str, port: int, limits: Limits, tls: Tls | None) -> Listener:
    """Serve an application.

    Parameters
    ----------
    app
        The application.
    address
        Where to listen, as `address_of` returns it.
    port
        The port; 0 takes a free one.
    limits
        Bounds of requests and connections.
    tls
        Files for TLS, if any.

    Raises
    ------
    InputError
        When a TLS file cannot be used.
    OutsideError
        When it cannot listen there.
    """
    config = uvicorn.Config(
        app,
        loop="none",
        http=bounded(limits),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=limits.idle_s,  # type: ignore[arg-type]  # any number will do
        backlog=_BACKLOG,
        ssl_certfile=None if tls is None else tls.certificate,
        ssl_keyfile=None if tls is None else tls.key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"TLS certificate or key cannot be used: {error}") from error
    bound = _bound(address, port)
    taken = int(bound.getsockname()[1])
    server = _Uvicorn(config)
    running = asyncio.create_task(server.serve(sockets=[bound]))
    while not server.started:
        if running.done():
            await running
        await asyncio.sleep(0.005)
    return Listener(taken, server, running)


def _bound(address: str, port: int) -> socket.socket:
    """Return a socket to listen on: uvicorn ends the whole process when it cannot make one.

    The protocol is named, because asyncio lets small replies go at once only on a socket that names it.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((address, port))
    except OSError as error:
        bound.close()
        raise OutsideError(f"cannot listen on {address}:{port}: {error}; is another server running there?") from error
    return bound


class _Uvicorn(uvicorn.Server):
    """uvicorn without signals, which belong to whoever runs the loop, and without ticks."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.asked_to_exit = asyncio.Event()

    async def main_loop(self) -> None:
        """Wait for the end."""
        await self.asked_to_exit.wait()

    def capture_signals(self) -> Any:  # noqa: ANN401 - a context manager of uvicorn's
        """Capture none."""
        return contextlib.nullcontext()
