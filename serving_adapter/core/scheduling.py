"""One model version: who waits, which replica is free, and what each replica is at."""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from inferline.domain import batch_to_take
from serving_adapter.core.batching import BatchPolicy, when_to_cut
from serving_adapter.core.queries import Pending
from serving_adapter.core.queueing import Queue

__all__ = ["ATTEMPTS", "Dispatch", "Lost", "ModelSchedule"]

ATTEMPTS = 3
"""How many replicas one input may take down before it is given up."""


@dataclass(slots=True)
class Dispatch:
    """One batch for one replica. Not frozen: there is one for every batch of 1, and to freeze it costs 0.4 µs.

    Parameters
    ----------
    replica, message_id
        Where it goes, and what the answer will refer to.
    batch
        The queries, in the order of the outputs to come.
    pad_to
        Size up to which copies of the last query are added, whose outputs are to be thrown away; None for no copies.
    sent_ns
        When it was cut.
    """

    replica: int
    message_id: int
    batch: list[Pending]
    pad_to: int | None
    sent_ns: int

    @property
    def size(self) -> int:
        """Inputs sent, copies included: as many outputs have to come back."""
        return self.pad_to or len(self.batch)


class Lost(NamedTuple):
    """What became of a batch whose replica died: back in the queue, or given up and to be answered by the caller."""

    requeued: list[Pending]
    failed: list[Pending]


class ModelSchedule:
    """The queue and the replicas of one model version; a replica has at most one batch in flight.

    A batch goes to the replica that is free for longest. So does the simulator; the load spreads evenly, every
    replica keeps its batch policy up to date, and one that hangs is found out soon.

    A query on its last attempt goes alone when it is at the head: of a batch that took two replicas down, only the
    poisonous one can take down a third, and the others are answered.

    Parameters
    ----------
    queue
        An empty one, from `new_queue`.
    wait_ns
        Longest wait of a query for others to join its batch (`when_to_cut`); 0 for none.
    attempts
        How many batches with one query may be lost.

    Attributes
    ----------
    paused
        While True nothing is dispatched; offers are taken.
    wake_at_ns
        After a `next_dispatch` that gave None: when to ask again even if nothing happens; None when there is no need.
    """

    __slots__ = ("_attempts", "_idle", "_queue", "_replicas", "_wait_ns", "paused", "wake_at_ns")

    def __init__(self, queue: Queue, *, wait_ns: int = 0, attempts: int = ATTEMPTS) -> None:
        if wait_ns < 0 or attempts < 1:
            raise ValueError(f"wait {wait_ns} ns, {attempts} attempts: expected at least 0 ns and 1 attempt")
        self.paused = False
        self.wake_at_ns: int | None = None
        self._queue = queue
        self._wait_ns = wait_ns
        self._attempts = attempts
        self._replicas: dict[int, _Replica] = {}
        self._idle: deque[_Replica] = deque()

    @property
    def queued(self) -> int:
        """Queries that wait."""
        return len(self._queue)

    @property
    def oldest_arrival_ns(self) -> int | None:
        """When the query that waits longest arrived; None when none waits."""
        return self._queue.oldest_arrival_ns

    @property
    def replicas(self) -> tuple[int, ...]:
        """All replicas, those that drain included."""
        return tuple(self._replicas)

    @property
    def idle(self) -> int:
        """Replicas without a batch."""
        return len(self._idle)

    @property
    def in_service(self) -> int:
        """Queries in batches at replicas."""
        return sum(len(at.dispatch.batch) for at in self._replicas.values() if at.dispatch is not None)

    def in_flight(self, replica: int) -> Dispatch | None:
        """Return what a replica is at; None when it is idle or unknown."""
        at = self._replicas.get(replica)
        return at.dispatch if at else None

    def offer(self, pending: Pending) -> bool:
        """Let a query wait; False when the queue is full, even after the late at its head are dropped."""
        if self._queue.offer(pending):
            return True
        self._queue.head(pending.arrived_ns)
        return self._queue.offer(pending)

    def next_dispatch(self, now_ns: int, message_id: int) -> Dispatch | None:
        """Cut the next batch, to be sent now under this message id; None when there is nothing to send.

        To be called until it gives None, whenever a query came, a replica became free, or at ``wake_at_ns``.
        """
        self.wake_at_ns = None
        queue = self._queue
        if not self._idle or self.paused:
            return None
        head = queue.head(now_ns)
        if head is None:
            return None
        replica = self._idle[0]
        policy = replica.policy
        alone = head.attempts > 0 and head.attempts + 1 >= self._attempts
        max_batch = 1 if alone else policy.max_batch(now_ns, head.deadline_ns)
        if self._wait_ns:
            oldest_ns = queue.oldest_arrival_ns
            if oldest_ns is not None:
                left_ns = when_to_cut(len(queue), max_batch, oldest_ns, now_ns, self._wait_ns)
                if left_ns:
                    self.wake_at_ns = now_ns + left_ns
                    return None
        batch = queue.cut(batch_to_take(len(queue), max_batch), now_ns)
        pad_to = max_batch if policy.fills and not alone and len(batch) < max_batch else None
        self._idle.popleft()
        replica.dispatch = Dispatch(replica.number, message_id, batch, pad_to, now_ns)
        return replica.dispatch

    def take_late(self) -> list[Pending]:
        """Return, once, those dropped since the last call because their deadline had come."""
        late = self._queue.late
        if late:
            self._queue.late = []
        return late

    def expire(self, now_ns: int) -> None:
        """Drop the late at the head now: for a sweep while no replica is free."""
        self._queue.head(now_ns)

    def clear(self) -> list[Pending]:
        """Take everybody out of the queue: for a model version that is deleted."""
        return self._queue.clear()

    def change(self, queue: Queue, *, wait_ns: int) -> None:
        """Let everybody wait in another queue, an empty one, from now on; nobody is refused by its bound.

        What is in flight counts as come before all who wait, should it be put back.
        """
        for at in self._replicas.values():
            for pending in at.dispatch.batch if at.dispatch else ():
                pending.turn -= sys.maxsize
        waiting = sorted(self._queue.clear(), key=attrgetter("turn"))
        for place, pending in enumerate(waiting):
            pending.turn = place - len(waiting)  # before all that come now: those are numbered from 0
        queue.late += self._queue.late
        queue.requeue(waiting)
        self._queue = queue
        self._wait_ns = wait_ns

    def answered(self, replica: int, message_id: int, now_ns: int) -> list[Pending] | None:
        """Take note of an answer and return its batch; None when this replica owes no such answer.

        Whoever calls it has compared the number of outputs with `in_flight(replica).size`.
        """
        at = self._replicas.get(replica)
        if at is None or at.dispatch is None or at.dispatch.message_id != message_id:
            return None
        dispatch, at.dispatch = at.dispatch, None
        at.policy.observe(dispatch.size, now_ns - dispatch.sent_ns)
        if at.draining:
            del self._replicas[replica]
        else:
            self._idle.append(at)
        return dispatch.batch

    def lost(self, replica: int, now_ns: int) -> Lost:
        """Forget a replica that died; what it was at goes back to its place in the queue.

        Given up are those whose deadline has come and those that were lost too often.
        """
        requeued: list[Pending] = []
        failed: list[Pending] = []
        for pending in self.remove(replica):
            pending.attempts += 1
            over = pending.attempts >= self._attempts or pending.is_late(now_ns)
            (failed if over else requeued).append(pending)
        self._queue.requeue(requeued)
        return Lost(requeued, failed)

    def add(self, replica: int, policy: BatchPolicy) -> None:
        """Make a replica available.

        Raises
        ------
        ValueError
            When there is one of this number.
        """
        if replica in self._replicas:
            raise ValueError(f"replica {replica} is there already")
        self._replicas[replica] = at = _Replica(replica, policy)
        self._idle.append(at)

    def set_policy(self, replica: int, policy: BatchPolicy) -> None:
        """Give a replica another batch policy, from its next batch on.

        Raises
        ------
        KeyError
            When there is no such replica.
        """
        self._replicas[replica].policy = policy

    def remove(self, replica: int) -> list[Pending]:
        """Forget a replica and return what it was at; its answer would be ignored. Nothing if it is unknown."""
        at = self._replicas.pop(replica, None)
        if at is None:
            return []
        if at.dispatch is None:
            self._idle.remove(at)
            return []
        return at.dispatch.batch

    def drain(self, replica: int) -> bool:
        """Send a replica no further batch; True when it is gone at once, else it leaves with its next answer."""
        at = self._replicas.get(replica)
        if at is None or at.dispatch is None:
            self.remove(replica)
            return True
        at.draining = True
        return False


class _Replica:
    """One replica: idle while it has no dispatch."""

    __slots__ = ("dispatch", "draining", "number", "policy")

    def __init__(self, number: int, policy: BatchPolicy) -> None:
        self.number = number
        self.policy = policy
        self.dispatch: Dispatch | None = None
        self.draining = False
