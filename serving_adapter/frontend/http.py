"""HTTP for both interfaces: what every application here needs, and limits that the server itself does not have."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = [
    "JSON",
    "App",
    "BodyError",
    "Limits",
    "Receive",
    "Reply",
    "Scope",
    "Send",
    "bounded",
    "read_body",
    "send_reply",
]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"
"""Content type of every reply, plain texts included, as Clipper's clients know it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client may ask of the server.

    Parameters
    ----------
    body_bytes, header_bytes
        Largest body and largest head of a request.
    batch
        Most inputs of one request.
    queued
        Most queries that may wait for one model version; more are answered with 429.
    connections
        Most open connections; further ones are closed at once.
    head_s, body_s, idle_s
        Seconds for a request's head, for its body, and for the next request on an open connection.
    """

    body_bytes: int = 32 * 2**20
    header_bytes: int = 64 * 2**10
    batch: int = 10_000
    queued: int = 100_000
    connections: int = 10_000
    head_s: float = 10.0
    body_s: float = 60.0
    idle_s: float = 75.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: Sequence[tuple[bytes, bytes]] = ()


class BodyError(ValueError):
    """A body that is not read to its end; the reply says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


async def send_reply(send: Send, reply: Reply) -> None:
    """Send a whole reply."""
    headers = [(b"content-type", reply.content_type), (b"content-length", b"%d" % len(reply.body)), *reply.headers]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


async def read_body(scope: Scope, receive: Receive, limits: Limits) -> bytes:
    """Read the body of a request.

    Raises
    ------
    BodyError
        When it is too large, too slow, or the client has gone.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limits.body_bytes:
            raise _too_large(limits)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body", False):
        if len(body) > limits.body_bytes:
            raise _too_large(limits)
        return body
    try:
        async with asyncio.timeout(limits.body_s):
            return await _read_on(message, receive, limits)
    except TimeoutError as error:
        raise BodyError(Reply(408, b"The request's body took too long.")) from error


async def _read_on(message: Mapping[str, Any], receive: Receive, limits: Limits) -> bytes:
    parts = bytearray()
    while True:
        if message["type"] != "http.request":
            raise BodyError(Reply(400, b"The client has gone."))
        parts += message.get("body", b"")
        if len(parts) > limits.body_bytes:
            raise _too_large(limits)
        if not message.get("more_body", False):
            return bytes(parts)
        message = await receive()


def _too_large(limits: Limits) -> BodyError:
    text = b"The request's body is larger than %d bytes." % limits.body_bytes
    return BodyError(Reply(413, text, headers=[(b"connection", b"close")]))


def bounded(limits: Limits) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol with bounds on the head of a request, its time, and the number of connections."""
    open_connections = 0

    class Bounded(HttpToolsProtocol):
        head_left = limits.header_bytes
        head_timer: asyncio.TimerHandle | None = None
        counted = False

        def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - asyncio's transports
            nonlocal open_connections
            if open_connections >= limits.connections:
                transport.abort()
                return
            open_connections += 1
            self.counted = True
            super().connection_made(cast("asyncio.Transport", _Joining(transport, self.loop)))
            self.head_timer = self.loop.call_later(limits.head_s, transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            nonlocal open_connections
            if not self.counted:
                return
            open_connections -= 1
            self._end_of_head()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            self.head_left = limits.header_bytes
            if self.head_timer is None:
                self.head_timer = self.loop.call_later(limits.head_s, self.transport.abort)
            super().on_message_begin()

        def on_url(self, url: bytes) -> None:
            self._spend(len(url))
            super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            self._spend(len(name) + len(value))
            super().on_header(name, value)

        def on_headers_complete(self) -> None:
            self._end_of_head()
            super().on_headers_complete()

        def _spend(self, size: int) -> None:
            self.head_left -= size
            if self.head_left < 0:
                self.transport.abort()

        def _end_of_head(self) -> None:
            if self.head_timer is not None:
                self.head_timer.cancel()
                self.head_timer = None

    return Bounded


class _Joining:
    """A transport that hands all writes of one turn of the loop on together.

    The server writes the head of a reply and its body one by one; each write is a system call that costs more than
    everything else that is done for a small query.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:  # noqa: ANN401 - asyncio's transports
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the transport has
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write with what else is written in this turn."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        """Write what is left, and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._parts:
            parts, self._parts = self._parts, []
            self._transport.write(b"".join(parts))
