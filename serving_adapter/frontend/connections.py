"""One HTTP connection of uvicorn's, with the limits that it does not have itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from httptools import HttpParserError, HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving_adapter.frontend.http import Limits

__all__ = ["LINGER_S", "bounded"]

LINGER_S = 1.0
"""How long a connection that ends before the request does is still read from, so that its client sees the reply."""

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_BETWEEN, _HEAD, _BODY = range(3)


def bounded(limits: Limits) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol with bounds on the head of a request, and on its time."""
    # A body that nobody waits for any more has to end as well; who does wait for it answers a second before.
    left_s = {_BETWEEN: limits.idle_s, _HEAD: limits.head_s, _BODY: limits.body_s + 1}

    class Bounded(HttpToolsProtocol):
        phase = _BETWEEN  # of the request that is being read
        unread = 0  # bytes received since the parser has last told of a whole piece
        timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - asyncio's transports
            joining = _Joining(transport, self.loop, lambda: self.phase == _BODY)
            super().connection_made(cast("asyncio.Transport", joining))
            self.timer = self.loop.call_later(limits.head_s, self.transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self.transport.is_closing():
                return
            self.unread += len(data)
            self._unset_keepalive_if_required()
            try:
                self.parser.feed_data(data)
            except HttpParserUpgrade as upgrade:
                self._stay(data[upgrade.args[0] :])
            except HttpParserError:
                self.send_400_response("Invalid HTTP request received.")
            if self.transport.is_closing():
                return
            if self.unread > limits.header_bytes:
                # One header without an end, before the body or after it: the parser would keep it all.
                self._refuse_head()
            elif self.timer is None and (self.phase != _BETWEEN or self.cycle.response_complete):
                self.timer = self.loop.call_later(left_s[self.phase], self.transport.abort)

        def on_message_begin(self) -> None:
            self.phase = _HEAD
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            if self.unread > limits.header_bytes and self._head_bytes() > limits.header_bytes:
                self._refuse_head()
                raise ValueError("the head is too large")  # the parser stops, and says that the request is invalid
            if self._is_offer():
                return
            self.phase = _BODY
            self.unread = 0
            self._stop_timer()
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            self.unread = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            if self._is_offer():
                return
            self.phase = _BETWEEN
            self.unread = 0
            self._stop_timer()
            super().on_message_complete()

        def _is_offer(self) -> bool:
            """Whether the client would rather speak another protocol, as Java's does unless told otherwise."""
            return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

        def _stay(self, rest: bytes) -> None:
            """Read the request again without the offer: the parser takes its body for the other protocol."""
            parser = self.parser
            line = b"%b %b HTTP/%b\r\n" % (parser.get_method(), self.url, parser.get_http_version().encode())
            headers = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
            self.data_received(b"".join([line, *headers, b"\r\n", rest]))

        def _head_bytes(self) -> int:
            return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

        def _refuse_head(self) -> None:
            if self.cycle is None or self.cycle.response_complete:
                self.phase = _BODY  # there is more to come
                self.transport.write(_TOO_LARGE)
                self.transport.close()
            else:
                self.transport.abort()

        def _stop_timer(self) -> None:
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None

    return Bounded


class _Joining:
    """A transport that hands all writes of one turn of the loop on together, and closes gently.

    The server writes the head of a reply and its body one by one; each write is a system call that costs more than
    everything else that is done for a small query.

    Closing a socket that has something unread resets the connection, and the client may never see the reply that was
    sent before: while a request is unfinished, closing ends the writing side, and the other one a little later.
    """

    def __init__(
        self,
        transport: Any,  # noqa: ANN401 - asyncio's transports
        loop: asyncio.AbstractEventLoop,
        unfinished: Callable[[], bool],
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._unfinished = unfinished
        self._parts: list[bytes] = []
        self._closing = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the transport has
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether nothing is to be read or written any more."""
        return self._closing or bool(self._transport.is_closing())

    def write(self, data: bytes) -> None:
        """Write with what else is written in this turn."""
        if self._closing:
            return
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        """Write what is left, and close."""
        self._flush()
        if self._closing:
            return
        self._closing = True
        if not self._unfinished() or self._transport.is_closing():
            self._transport.close()
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._transport.resume_reading()
        self._loop.call_later(LINGER_S, self._transport.close)

    def _flush(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.write(b"".join(parts))
