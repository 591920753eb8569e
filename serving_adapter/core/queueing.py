"""The queue in front of the replicas of one model version: by arrival, or by deadline."""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Sequence
from heapq import heappop, heappush
from operator import attrgetter
from typing import Literal, Protocol

from serving_adapter.core.queries import Pending

__all__ = ["ORDERS", "ArrivalQueue", "DeadlineQueue", "Order", "Queue", "new_queue"]

Order = Literal["arrival", "deadline"]

ORDERS: tuple[Order, ...] = ("arrival", "deadline")
"""``arrival`` is what the planner assumes; ``deadline`` is what Clipper does (earliest first)."""

_NEVER = sys.maxsize
_turn = attrgetter("turn")


class Queue(Protocol):
    """What both orders offer; n is the number of those that wait."""

    late: list[Pending]
    """Those dropped because their deadline had come; whoever empties this list has to answer them."""

    def __len__(self) -> int: ...

    @property
    def oldest_arrival_ns(self) -> int | None:
        """When the one that waits longest arrived; None when nobody waits."""

    def offer(self, pending: Pending) -> bool:
        """Let it wait; False when the queue is full."""

    def requeue(self, batch: Sequence[Pending]) -> None:
        """Put back what was cut, each to its place in the order; no bound applies, as they were let in before."""

    def head(self, now_ns: int) -> Pending | None:
        """Return who is next; None when nobody waits. If this queue drops the late, those at the head go first."""

    def cut(self, size: int, now_ns: int) -> list[Pending]:
        """Take the next ``size`` (at most n), the late left out if this queue drops them."""

    def clear(self) -> list[Pending]:
        """Take everybody, in order."""


def new_queue(order: Order = "arrival", *, expire: bool = False, most: int | None = None) -> Queue:
    """Return an empty queue.

    Parameters
    ----------
    order
        One of `ORDERS`.
    expire
        Whether the late are dropped before a batch is cut. By deadline they always are: an overloaded queue would
        otherwise serve nobody but the late, whose deadlines come first.
    most
        How many may wait; None for no bound.

    Raises
    ------
    ValueError
        When the order is unknown or the bound is below 1.
    """
    if order not in ORDERS:
        raise ValueError(f"order {order!r}: expected one of {', '.join(ORDERS)}")
    if most is not None and most < 1:
        raise ValueError(f"a queue must hold at least 1 query, not {most}")
    if order == "deadline":
        return DeadlineQueue(most=most)
    return ArrivalQueue(expire=expire, most=most)


class ArrivalQueue:
    """First come, first served. Everything is O(1) per query; a requeue sorts what it puts back.

    Parameters
    ----------
    expire, most
        See `new_queue`. Only those who reach the head are looked at, so a late query behind others still counts in
        the length until then.
    """

    __slots__ = ("_expires", "_most", "_turns", "_waiting", "late")

    def __init__(self, *, expire: bool = False, most: int | None = None) -> None:
        self.late: list[Pending] = []
        self._expires = expire
        self._most = sys.maxsize if most is None else most
        self._turns = 0
        self._waiting: deque[Pending] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def oldest_arrival_ns(self) -> int | None:
        """When the head arrived."""
        return self._waiting[0].arrived_ns if self._waiting else None

    def offer(self, pending: Pending) -> bool:
        """Let it wait at the end."""
        if len(self._waiting) >= self._most:
            return False
        pending.turn = self._turns
        self._turns += 1
        self._waiting.append(pending)
        return True

    def requeue(self, batch: Sequence[Pending]) -> None:
        """Put them back in front of all that arrived later.

        Nobody but those put back before can have arrived earlier than one that was cut, so few have to move.
        """
        if not batch:
            return
        last = max(map(_turn, batch))
        front = list(batch)
        while self._waiting and self._waiting[0].turn < last:
            front.append(self._waiting.popleft())
        front.sort(key=_turn, reverse=True)
        self._waiting.extendleft(front)

    def head(self, now_ns: int) -> Pending | None:
        """Return who came first, and has time left if this queue drops the late."""
        if self._expires:
            while self._waiting and self._waiting[0].is_late(now_ns):
                self.late.append(self._waiting.popleft())
        return self._waiting[0] if self._waiting else None

    def cut(self, size: int, now_ns: int) -> list[Pending]:
        """Take from the front."""
        if not self._expires:
            return [self._waiting.popleft() for _ in range(size)]
        batch: list[Pending] = []
        while self._waiting and len(batch) < size:
            pending = self._waiting.popleft()
            (self.late if pending.is_late(now_ns) else batch).append(pending)
        return batch

    def clear(self) -> list[Pending]:
        """Take everybody, by arrival."""
        everybody = list(self._waiting)
        self._waiting.clear()
        return everybody


class DeadlineQueue:
    """Earliest deadline first, by arrival among equals; those without a deadline come last. O(log n) per query.

    Parameters
    ----------
    most
        See `new_queue`.
    """

    __slots__ = ("_heap", "_most", "_turns", "_waiting", "late")

    def __init__(self, *, most: int | None = None) -> None:
        self.late: list[Pending] = []
        self._most = sys.maxsize if most is None else most
        self._turns = 0
        self._heap: list[tuple[int, int, Pending]] = []
        # By turn, for the oldest arrival. A plain dict would do but for its front: it is found in O(those removed).
        self._waiting: OrderedDict[int, Pending] = OrderedDict()

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def oldest_arrival_ns(self) -> int | None:
        """When the one that waits longest arrived."""
        return next(iter(self._waiting.values())).arrived_ns if self._waiting else None

    def offer(self, pending: Pending) -> bool:
        """Let it wait among the others."""
        if len(self._heap) >= self._most:
            return False
        pending.turn = self._turns
        self._turns += 1
        self._waiting[pending.turn] = pending
        self._push(pending)
        return True

    def requeue(self, batch: Sequence[Pending]) -> None:
        """Put them back to where their deadlines belong; O(n), and as rare as the death of a replica."""
        for pending in batch:
            self._push(pending)
        everybody = [*batch, *self._waiting.values()]
        everybody.sort(key=_turn)
        self._waiting = OrderedDict((pending.turn, pending) for pending in everybody)

    def head(self, now_ns: int) -> Pending | None:
        """Drop the late, and return who has the earliest deadline of the others."""
        while self._heap and self._heap[0][0] <= now_ns:
            self.late.append(self._pop())
        return self._heap[0][2] if self._heap else None

    def cut(self, size: int, now_ns: int) -> list[Pending]:
        """Take the earliest, the late dropped before."""
        self.head(now_ns)
        return [self._pop() for _ in range(min(size, len(self._heap)))]

    def clear(self) -> list[Pending]:
        """Take everybody, by deadline."""
        return [self._pop() for _ in range(len(self._heap))]

    def _push(self, pending: Pending) -> None:
        deadline_ns = _NEVER if pending.deadline_ns is None else pending.deadline_ns
        heappush(self._heap, (deadline_ns, pending.turn, pending))

    def _pop(self) -> Pending:
        pending = heappop(self._heap)[2]
        del self._waiting[pending.turn]
        return pending
