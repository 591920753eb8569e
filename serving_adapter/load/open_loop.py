"""Open loop: every query is sent at its own instant, whatever became of the earlier ones."""

from __future__ import annotations

import asyncio
from collections import deque

from serving_adapter.load.alarm import Alarm
from serving_adapter.load.exchange import Exchange
from serving_adapter.load.records import Outcome, QueryLog
from serving_adapter.load.share import Wires

__all__ = ["OpenLoop"]

_MOST_AT_ONCE = 16
"""Queries sent in one go before replies are read again: a loop that only sent would read them late."""


class OpenLoop:
    """Sends the queries of a log at their intended instants.

    A query for which there is no connection, free or new, waits for one in the order of the instants: that delay is
    the generator's, and shows in the send error.

    Parameters
    ----------
    loop
        The event loop.
    wires
        What to send.
    log
        Intended instants, and what became of the queries.

    Attributes
    ----------
    exchange
        The queries that are out.
    crowded
        Queries that found every connection in use, and no room for another.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, wires: Wires, log: QueryLog) -> None:
        self.exchange = Exchange(loop, wires, log, self._go_on)
        self.crowded = 0
        self._alarm = Alarm(loop, self._ring)
        self._log = log
        self._timeout_ns = wires.timeout_ns
        self._waiting: deque[int] = deque()
        self._next = 0
        self._end = len(log)

    @property
    def sent(self) -> int:
        """Queries whose turn has come."""
        return self._next

    @property
    def waiting(self) -> int:
        """Queries whose turn has come and that wait for a connection."""
        return len(self._waiting)

    @property
    def finished(self) -> bool:
        """Whether every query has an outcome."""
        return self._next >= self._end and not self._waiting and not self.exchange.in_flight

    def begin(self, start_ns: int) -> None:
        """Begin at that instant of `time.monotonic_ns`."""
        self.exchange.start_ns = start_ns
        if self._end:
            self._set_alarm()

    def stop(self) -> None:
        """Send nothing more; replies are still read."""
        self._end = self._next
        self._waiting.clear()

    def sweep(self, now_ns: int) -> None:
        """Give up what is past its timeout; to be called now and then."""
        self.exchange.expire(now_ns)
        while self._waiting and self._is_late(self._waiting[0], now_ns):
            self._give_up(self._waiting.popleft(), now_ns)

    def close(self) -> None:
        """End every connection."""
        self._alarm.stop()
        self.exchange.close()

    def _set_alarm(self) -> None:
        self._alarm.set(self.exchange.start_ns + self._log.intended_ns[self._next])

    def _ring(self) -> None:
        """Send what is due, as far as replies are not kept waiting, and set the alarm for the rest."""
        for _ in range(_MOST_AT_ONCE):
            if self._next >= self._end:
                self._alarm.stop()
                return
            now_ns = self.exchange.now_ns()
            if self._log.intended_ns[self._next] > now_ns:
                break
            self._act(self._next, now_ns)
            self._next += 1
        if self._next < self._end:
            self._set_alarm()

    def _act(self, query: int, now_ns: int) -> None:
        if self._is_late(query, now_ns):
            self._give_up(query, now_ns)
        elif self._waiting or not self.exchange.offer(query, now_ns):
            self._waiting.append(query)
            self.crowded += 1

    def _go_on(self) -> None:
        while self._waiting and self.exchange.offer(self._waiting[0], self.exchange.now_ns()):
            self._waiting.popleft()

    def _is_late(self, query: int, now_ns: int) -> bool:
        return now_ns - self._log.intended_ns[query] >= self._timeout_ns

    def _give_up(self, query: int, now_ns: int) -> None:
        self._log.done_ns[query] = now_ns
        self._log.outcome[query] = Outcome.UNSENT
