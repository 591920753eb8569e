"""An ASGI application on a port: uvicorn's protocol, and what its server would do, in a loop with other things to do.

uvicorn's own server would listen through the event loop. uvloop's takes one new connection each time round, which on
a busy server is one in several milliseconds: five hundred clients that come together would wait for seconds. It also
wants the process's signals, and ends the process when a port is taken.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from inferline.errors import InputError, OutsideError
from serving_adapter.frontend.connections import bounded
from serving_adapter.frontend.http import App, Limits

__all__ = ["Listener", "Tls", "address_of"]

_BACKLOG = 2048
_AT_ONCE = 256
"""New connections taken in one go."""

_PAUSE_S = 0.5
"""Before the next attempt, when a connection cannot be taken for want of files or memory."""

_LAST_WORDS_S = 0.5
"""For replies to those whom nobody waits for any longer."""

_log = logging.getLogger(__name__)


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


class Listener:
    """An application that is being served; to be made and stopped within one event loop.

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

    Attributes
    ----------
    port
        The port that it listens on.

    Raises
    ------
    InputError
        When a TLS file cannot be used.
    OutsideError
        When it cannot listen there.
    """

    def __init__(self, app: App, address: str, port: int, limits: Limits, tls: Tls | None = None) -> None:
        self._config = _config(app, limits, tls)
        self._handshake: dict[str, Any] = {}
        if self._config.ssl is not None:
            self._handshake = {"ssl": self._config.ssl, "ssl_handshake_timeout": limits.head_s}
        self._most = limits.connections
        self._state = ServerState()
        self._opening: set[asyncio.Task[object]] = set()
        self._loop = asyncio.get_running_loop()
        self._socket = _listening(address, port)
        self._loop.add_reader(self._socket, self._accept)
        self.port = int(self._socket.getsockname()[1])

    async def stop(self, patience_s: float) -> None:
        """Take no more connections, answer those that are open, as far as there is time, and end."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        state = self._state
        for connection in list(state.connections):
            connection.shutdown()
        await self._gone(patience_s)
        for task in state.tasks:
            task.cancel()
        await self._gone(_LAST_WORDS_S)
        for connection in list(state.connections):
            connection.transport.abort()
        for opening in self._opening:
            opening.cancel()

    async def _gone(self, patience_s: float) -> None:
        until = monotonic() + patience_s
        while (self._state.connections or self._state.tasks) and monotonic() < until:
            await asyncio.sleep(0.01)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                _log.error("event=connection_not_taken port=%d reason=%s", self.port, error)
                self._loop.remove_reader(self._socket)
                self._loop.call_later(_PAUSE_S, self._accept_again)
                return
            if len(self._state.connections) + len(self._opening) >= self._most:
                connection.close()
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opening = self._loop.connect_accepted_socket(self._protocol, connection, **self._handshake)
            task: asyncio.Task[object] = self._loop.create_task(opening)
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _accept_again(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._accept)

    def _protocol(self) -> asyncio.Protocol:
        kind = self._config.http_protocol_class
        protocol: asyncio.Protocol = kind(self._config, self._state, {}, self._loop)  # type: ignore[call-arg]
        return protocol

    def _opened(self, task: asyncio.Task[object]) -> None:
        self._opening.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.debug("event=connection_failed port=%d reason=%s", self.port, task.exception())


def _config(app: App, limits: Limits, tls: Tls | None) -> uvicorn.Config:
    """Return what uvicorn's protocol is configured by."""
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
        proxy_headers=False,
        timeout_keep_alive=limits.idle_s,  # type: ignore[arg-type]  # any number will do
        ssl_certfile=None if tls is None else tls.certificate,
        ssl_keyfile=None if tls is None else tls.key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"TLS certificate or key cannot be used: {error}") from error
    return config


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


def _listening(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listening = socket.create_server((address, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise OutsideError(f"cannot listen on {address}:{port}: {error}; is another server running there?") from error
    listening.setblocking(False)
    return listening
