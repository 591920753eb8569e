"""One input on its way to one model version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Pending"]


@dataclass(slots=True, eq=False)
class Pending:
    """One input that waits for, or is at, one model version.

    It is mutable and made once per query: at tens of thousands of queries a second a copy per step would be what the
    process spends its time on. Two of them are equal only when they are the same.

    Parameters
    ----------
    input
        The bytes that reach the model.
    arrived_ns
        When it was offered, monotonic clock.
    deadline_ns
        When its answer stops being of use; None for never.
    owner
        Whatever the caller wants back with the answer; nothing here looks at it.
    attempts
        Batches with this input that were lost with their replica.
    turn
        Place in the order of arrival at its queue; set by the queue.
    """

    input: bytes
    arrived_ns: int
    deadline_ns: int | None = None
    owner: Any = None
    attempts: int = 0
    turn: int = -1

    def is_late(self, now_ns: int) -> bool:
        """Whether the deadline has come: an answer at that very instant is too late, as the default is given then."""
        return self.deadline_ns is not None and self.deadline_ns <= now_ns
