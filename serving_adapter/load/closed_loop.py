"""Closed loop: every connection sends its next query as soon as the reply to the last one is there."""

from __future__ import annotations

import asyncio

from inferline.files.limits import MAX_QUERIES
from serving_adapter.load.exchange import Exchange
from serving_adapter.load.records import QueryLog
from serving_adapter.load.share import Wires

__all__ = ["EachConnection"]


class EachConnection:
    """Keeps every connection busy for a while.

    Parameters
    ----------
    loop
        The event loop.
    wires
        What to send; ``connections`` of them are kept busy.
    log
        Where the queries go; it grows as they come.
    duration_ns
        How long queries are sent.

    Attributes
    ----------
    exchange
        The queries that are out.
    crowded, waiting
        0: no query waits for a connection here.
    sent
        Queries sent.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, wires: Wires, log: QueryLog, duration_ns: int) -> None:
        self.exchange = Exchange(loop, wires, log, self._go_on)
        self.crowded = self.waiting = self.sent = 0
        self._loop = loop
        self._log = log
        self._end_ns = duration_ns

    @property
    def finished(self) -> bool:
        """Whether the time is over and every query has an outcome."""
        return self.exchange.now_ns() >= self._end_ns and not self.exchange.in_flight

    def begin(self, start_ns: int) -> None:
        """Begin at that instant of `time.monotonic_ns`."""
        self.exchange.start_ns = start_ns
        self._loop.call_later(max(0, -self.exchange.now_ns()) / 1e9, self._go_on)

    def stop(self) -> None:
        """Send nothing more; replies are still read."""
        self._end_ns = 0

    def sweep(self, now_ns: int) -> None:
        """Give up what is past its timeout; to be called now and then."""
        self.exchange.expire(now_ns)

    def close(self) -> None:
        """End every connection."""
        self.exchange.close()

    def _go_on(self) -> None:
        while (now_ns := self.exchange.now_ns()) < self._end_ns and self.sent < MAX_QUERIES:
            if self.sent == len(self._log):
                self._log.double()
            self._log.intended_ns[self.sent] = max(now_ns, 0)
            if not self.exchange.offer(self.sent, max(now_ns, 0)):
                return
            self.sent += 1
