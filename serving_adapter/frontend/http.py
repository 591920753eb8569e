"""HTTP for both interfaces: what every application here needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["JSON", "App", "BodyError", "Limits", "Receive", "Reply", "Scope", "Send", "read_body", "send_reply"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"
"""Content type of every reply, plain texts included, as Clipper's clients know it."""

_CLOSE = ((b"connection", b"close"),)


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
        raise BodyError(Reply(408, b"The request's body took too long.", headers=_CLOSE)) from error


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
    return BodyError(Reply(413, b"The request's body is larger than %d bytes." % limits.body_bytes, headers=_CLOSE))
