"""One station that is simulated a piece at a time, with replicas that are asked for, start, serve and drain."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from simulator.kernel.station import (
    BATCHES,
    BUSY_NS,
    EMITTED,
    HEAD,
    STATE_SIZE,
    TAIL,
    TAKEN,
    advance_station,
)
from simulator.kernel.streams import Stream

__all__ = ["RunningStation"]

Instants = NDArray[np.int64]
Ids = NDArray[np.int32]

_NO_NS: Instants = np.empty(0, dtype=np.int64)
_NO_IDS: Ids = np.empty(0, dtype=np.int32)
_SPARE = 4
"""Room for so many times the replicas, so that the batches in service are seldom moved to the front of the buffer."""


class RunningStation:
    """One station in the middle of its simulation.

    The rules are those of `simulator.cluster.simulate_cluster`: a replica serves from the instant on at which it is
    ready; one that is taken away finishes its batch, and idle ones leave first.

    Parameters
    ----------
    table_ns
        int64 (B,): L(1) ... L(B).
    in_ns, in_id
        int64 (n,), int32 (n,): arrivals, sorted by (instant, query id), as far as they are known; the rest is written
        by whoever feeds the station, which also raises `known`.
    known
        How many arrivals are known.
    replicas
        Replicas that serve at 0, when the simulation starts.

    Attributes
    ----------
    in_ns, in_id, known
        As given.
    out_ns, out_id
        Departures, sorted; the first `departed` count.
    ready
        Replicas that serve.
    replica_ns
        Serving replicas times time so far; draining ones left out.
    paid_ns
        Requested replicas times time so far: each from its request until it has finished its last batch.
    changes
        (instant, requested, ready) at the start and whenever either changes, once for an instant.
    """

    def __init__(self, table_ns: Instants, in_ns: Instants, in_id: Ids, *, known: int, replicas: int) -> None:
        self.in_ns, self.in_id, self.known = in_ns, in_id, known
        self.out_ns = np.empty(in_ns.size, dtype=np.int64)
        self.out_id = np.empty(in_ns.size, dtype=np.int32)
        self.ready = replicas
        self.replica_ns, self.paid_ns = 0, 0
        self.changes = [(0, replicas, replicas)]
        self._table_ns = table_ns
        self._starting: deque[int] = deque()
        self._state: Instants = np.zeros(STATE_SIZE, dtype=np.int64)
        self._clock_ns = 0
        self._free_ns, self._batch = np.empty((2, max(64, _SPARE * replicas)), dtype=np.int64)

    def request(self, replicas: int, activation_ns: int) -> None:
        """Ask for a number of replicas now.

        More are ready after the activation delay. Of fewer, those that would be ready last are cancelled first; then
        serving ones drain.
        """
        more = replicas - self.requested
        if more == 0:
            return
        if more > 0:
            self._starting.extend([self._clock_ns + activation_ns] * more)
        else:
            for _ in range(min(-more, len(self._starting))):
                self._starting.pop()
            ready = replicas - len(self._starting)
            self.paid_ns += self._beyond_ns(ready) - self._beyond_ns(self.ready)
            self.ready = ready
        self._note()

    def advance(self, until_ns: int) -> None:
        """Simulate up to, and not including, an instant; the arrivals before it must be known."""
        while self._starting and self._starting[0] < until_ns:
            ready_ns = self._starting[0]
            self._run(ready_ns)
            while self._starting and self._starting[0] == ready_ns:
                self._starting.popleft()
                self.ready += 1
            self._note()
        self._run(until_ns)

    @property
    def requested(self) -> int:
        """Replicas asked for, those that still start included."""
        return self.ready + len(self._starting)

    @property
    def arrived(self) -> int:
        """Queries that have reached the queue."""
        return int(self.in_ns[: self.known].searchsorted(self._clock_ns))

    @property
    def taken(self) -> int:
        """Queries that have left the queue."""
        return int(self._state[TAKEN])

    @property
    def departed(self) -> int:
        """Queries that have been served."""
        return int(self._state[EMITTED])

    @property
    def batches(self) -> int:
        """Batches that have begun."""
        return int(self._state[BATCHES])

    @property
    def busy_ns(self) -> int:
        """Time that replicas have spent on batches so far."""
        left_ns = self._in_service_ns()
        return int(self._state[BUSY_NS]) - int(left_ns.sum()) + left_ns.size * self._clock_ns

    def departures(self) -> Stream:
        """Return what has left so far."""
        return Stream(self.out_ns[: self.departed], self.out_id[: self.departed])

    def _run(self, until_ns: int) -> None:
        length_ns = until_ns - self._clock_ns
        if length_ns <= 0:
            return
        self._make_room(self.ready)
        advance_station(
            self.in_ns[: self.known], self.in_id[: self.known], self._table_ns, self.ready, until_ns, self._state,
            self._free_ns, self._batch, self.out_ns, self.out_id, _NO_NS, 0, _NO_NS, _NO_IDS,
        )  # fmt: skip
        self.replica_ns += self.ready * length_ns
        self.paid_ns += self.requested * length_ns
        self._clock_ns = until_ns

    def _in_service_ns(self) -> Instants:
        """Return when the batches in service end, ascending; int64 (batches in service,)."""
        return self._free_ns[self._state[HEAD] : self._state[TAIL]]

    def _beyond_ns(self, replicas: int) -> int:
        """Return how long the replicas beyond a number stay for their batches: of the busy ones those done first."""
        done_ns = self._in_service_ns()
        leaving = max(0, done_ns.size - replicas)
        return int(done_ns[:leaving].sum()) - leaving * self._clock_ns

    def _make_room(self, replicas: int) -> None:
        if _SPARE * replicas > self._free_ns.size:
            more = np.empty(2 * _SPARE * replicas - self._free_ns.size, dtype=np.int64)
            self._free_ns, self._batch = np.append(self._free_ns, more), np.append(self._batch, more)

    def _note(self) -> None:
        now = (self._clock_ns, self.requested, self.ready)
        if self.changes[-1][0] == self._clock_ns:
            self.changes.pop()
        self.changes.append(now)
