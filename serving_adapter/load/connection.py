"""One keep-alive connection: a request out, its reply in, one at a time."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from inferline.errors import InputError

try:
    from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
except ImportError as error:
    raise InputError("sending load needs httptools: pip install 'inferline[serve]'") from error

__all__ = ["MAX_REPLY_BYTES", "Connection", "Owner"]

MAX_REPLY_BYTES = 64 * 2**20
"""A longer body is malformed: a server that never ends its reply must not fill the memory."""


class Owner(Protocol):
    """Who hears of a connection's fate."""

    def on_open(self, connection: Connection) -> None:
        """Hear that the connection stands."""

    def on_reply(self, connection: Connection, status: int, body: bytes, read_ns: int) -> None:
        """Hear a whole reply; ``read_ns`` is when its last bytes were read, by `time.monotonic_ns`."""

    def on_garbage(self, connection: Connection) -> None:
        """Hear that something came that is no reply; the connection is of no use any more."""

    def on_end(self, connection: Connection) -> None:
        """Hear that the connection has ended, whoever ended it."""


class Connection(asyncio.Protocol):
    """A client's side of one connection.

    Parameters
    ----------
    owner
        Whom to tell.

    Attributes
    ----------
    query
        Number of the query that is out; None when the connection is free.
    served
        Replies read so far.
    reusable
        Whether the server lets it live on after the last reply.
    opening
        What opens the connection, as long as that lasts.
    ended_here
        Whether this side has ended it.
    """

    __slots__ = (
        "_begun",
        "_body",
        "_complete",
        "_owner",
        "_parser",
        "_size",
        "_transport",
        "ended_here",
        "opening",
        "query",
        "reusable",
        "served",
    )

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._begun = False
        self._complete = 0
        self.query: int | None = None
        self.served = 0
        self.reusable = True
        self.opening: asyncio.Task[None] | None = None
        self.ended_here = False

    @property
    def stands(self) -> bool:
        """Whether it has been opened."""
        return self._transport is not None

    @property
    def silent(self) -> bool:
        """Whether nothing of the current reply has come."""
        return not self._begun

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note that it stands."""
        self._transport = transport  # type: ignore[assignment]  # of TCP: a Transport
        self._owner.on_open(self)

    def send(self, request: bytes) -> None:
        """Send a request; the reply to the last one has been read."""
        self._begun = False
        self._transport.write(request)  # type: ignore[union-attr]  # it stands

    def end(self) -> None:
        """End the connection at once, whatever is on its way."""
        self.ended_here = True
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read on in the reply."""
        read_ns = time.monotonic_ns()
        self._begun = True
        if self.query is None:  # nobody asked: the next query would take it for its reply
            self._owner.on_garbage(self)
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._owner.on_garbage(self)
            return
        if not self._complete:
            return
        if self._complete > 1:
            self._owner.on_garbage(self)
            return
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self._size = self._complete = 0
        self.served += 1
        self._owner.on_reply(self, self._parser.get_status_code(), body, read_ns)

    def on_body(self, chunk: bytes) -> None:
        """Keep a piece of the body; the parser calls this."""
        self._size += len(chunk)
        if self._size > MAX_REPLY_BYTES:
            raise ValueError("the reply is too large")  # the parser makes an HttpParserError of it
        self._body.append(chunk)

    def on_message_complete(self) -> None:
        """Note that the reply is whole, unless it is an interim one (1xx); the parser calls this."""
        if self._parser.get_status_code() >= 200:
            self._complete += 1
            self.reusable = self._parser.should_keep_alive()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Note that it has ended."""
        # The parser holds this object's methods: without the circle, memory is freed without the collector.
        del self._parser
        self._owner.on_end(self)
