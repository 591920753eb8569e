"""Queries out and replies in, over a pool of keep-alive connections that grows on demand up to a cap."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from serving_adapter.load.connection import Connection
from serving_adapter.load.records import Outcome, QueryLog
from serving_adapter.load.share import Wires

__all__ = ["Exchange"]

_LONGEST_EXCERPT = 200


class _Reply(msgspec.Struct):
    default: bool = False


class Exchange:
    """Gives queries to connections and notes what becomes of them.

    A connection in use takes no second query: there is no pipelining. A reused connection that ends without a byte
    of the reply has most likely met the server's closing of an idle one; its query is sent once more on a new one.

    Parameters
    ----------
    loop
        The event loop.
    wires
        What to send.
    log
        Where to note it.
    on_room
        Called when a query that was refused might be taken.

    Attributes
    ----------
    start_ns
        Instant of `time.monotonic_ns` from which the log counts; to be set before the first query.
    opened, most_open, closed_by_server
        Connections opened, open at the same time, and closed by the other side.
    resent
        Queries that were sent once more.
    excerpt
        Status and beginning of the first reply that is a failure; empty while there is none.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, wires: Wires, log: QueryLog, on_room: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._wires = wires
        self._log = log
        self._on_room = on_room
        self._free: list[Connection] = []
        self._busy: dict[int, Connection] = {}
        self._open: set[Connection] = set()
        self.start_ns = 0
        self.opened = self.most_open = self.closed_by_server = self.resent = 0
        self.excerpt = ""

    @property
    def in_flight(self) -> int:
        """Queries that are out."""
        return len(self._busy)

    def now_ns(self) -> int:
        """Return the time since the start."""
        return time.monotonic_ns() - self.start_ns

    def offer(self, query: int, now_ns: int) -> bool:
        """Send a query on a free connection, else on a new one; return False when there may be no more of them.

        Parameters
        ----------
        query
            Its place in the log.
        now_ns
            Time since the start.
        """
        if self._free:
            # The one used last: the others may rest, and the pool stays as small as the traffic allows.
            connection = self._free.pop()
            connection.query = query
            connection.send(self._request(query))
        elif len(self._open) < self._wires.connections:
            connection = self._new(query)
        else:
            return False
        self._busy[query] = connection
        self._log.sent_ns[query] = now_ns
        return True

    def expire(self, now_ns: int) -> None:
        """Give up the queries that are out and past their timeout."""
        intended_ns, latest_ns = self._log.intended_ns, now_ns - self._wires.timeout_ns
        late = []
        for query in self._busy:  # in the order of the intended instants
            if intended_ns[query] > latest_ns:
                break
            late.append(query)
        for query in late:
            connection = self._busy[query]
            self._failed(connection, Outcome.TIMEOUT)
            # A late reply must not be taken for that of the next query.
            self._discard(connection)

    def close(self) -> None:
        """End every connection."""
        for connection in list(self._open):
            self._discard(connection)

    def _request(self, query: int) -> bytes:
        wires = self._wires
        return wires.requests[wires.numbers[query] % len(wires.requests)]

    def _new(self, query: int) -> Connection:
        connection = Connection(self)
        connection.query = query
        self._open.add(connection)
        self.most_open = max(self.most_open, len(self._open))
        connection.opening = self._loop.create_task(self._opening(connection))
        return connection

    async def _opening(self, connection: Connection) -> None:
        try:
            await self._loop.create_connection(lambda: connection, *self._wires.address)
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError)
            self._open.discard(connection)
            self._failed(connection, Outcome.REFUSED if refused else Outcome.CONNECT)
            self._on_room()
        except asyncio.CancelledError:
            self._open.discard(connection)
            connection.end()
            self._on_room()
        finally:
            connection.opening = None

    def _discard(self, connection: Connection) -> None:
        if connection.opening is not None and not connection.stands:
            connection.opening.cancel()
        else:
            connection.end()

    def _failed(self, connection: Connection, outcome: Outcome) -> None:
        query, connection.query = connection.query, None
        if query is not None:
            del self._busy[query]
            self._log.done_ns[query] = self.now_ns()
            self._log.outcome[query] = outcome

    def on_open(self, connection: Connection) -> None:
        """Send the query for which the connection was opened."""
        self.opened += 1
        if connection.query is None:  # it timed out meanwhile
            connection.end()
        else:
            connection.send(self._request(connection.query))

    def on_reply(self, connection: Connection, status: int, body: bytes, read_ns: int) -> None:
        """Note what became of the connection's query, and free the connection."""
        query, connection.query = connection.query, None
        if query is None:
            return  # a connection reads no reply without a query
        del self._busy[query]
        log = self._log
        log.done_ns[query] = read_ns - self.start_ns
        log.status[query] = status
        log.outcome[query] = self._judged(query, status, body)
        if b'"default"' in body and b"true" in body:
            log.default[query] = _says_default(body)
        if connection.reusable:
            self._free.append(connection)
            self._on_room()
        else:
            self.closed_by_server += 1
            connection.end()

    def _judged(self, query: int, status: int, body: bytes) -> Outcome:
        wires = self._wires
        if not 200 <= status < 300:
            outcome = Outcome.STATUS
        elif wires.check is not None and not wires.check(wires.numbers[query], body):
            outcome = Outcome.WRONG
        else:
            return Outcome.OK
        if not self.excerpt:
            self.excerpt = f"HTTP {status}: {body[:_LONGEST_EXCERPT].decode('utf-8', 'replace')}"
        return outcome

    def on_garbage(self, connection: Connection) -> None:
        """Give up the connection's query, and the connection."""
        self._failed(connection, Outcome.MALFORMED)
        connection.end()

    def on_end(self, connection: Connection) -> None:
        """Make room for another connection; the query that was out has failed, or goes out once more."""
        self._open.discard(connection)
        self.closed_by_server += not connection.ended_here
        query = connection.query
        if query is None:
            if connection in self._free:
                self._free.remove(connection)
        elif connection.served and connection.silent and not connection.ended_here:
            self.resent += 1
            self._busy[query] = self._new(query)  # in the place that it has among the others
        elif not connection.ended_here:
            self._failed(connection, Outcome.CLOSED)
        self._on_room()


def _says_default(body: bytes) -> bool:
    """Whether a reply is the default output, by the key of Clipper's replies."""
    try:
        return msgspec.json.decode(body, type=_Reply).default
    except msgspec.MsgspecError:
        return False
