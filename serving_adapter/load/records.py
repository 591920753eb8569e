"""What is known of each query: where it stands while traffic runs, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["Outcome", "QueryLog", "Records"]


class Outcome(IntEnum):
    """What became of a query."""

    UNFINISHED = 0
    """Neither a reply nor a failure, because the run was interrupted."""
    OK = 1
    TIMEOUT = 2
    REFUSED = 3
    """The server accepted no connection."""
    CONNECT = 4
    """No connection for another reason: no route, no free port, too many open files."""
    CLOSED = 5
    """The server closed the connection before the end of the reply."""
    MALFORMED = 6
    """The reply is not HTTP, or is too large."""
    STATUS = 7
    """An HTTP status that is not 2xx."""
    WRONG = 8
    """A 2xx reply that the check refused."""
    UNSENT = 9
    """The generator did not get round to sending it before its timeout."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Records:
    """Every query, in the order of the intended instants; times in nanoseconds from the common start.

    Parameters
    ----------
    intended_ns
        int64 (n,): when it was to be sent. In a closed loop, when it was sent.
    sent_ns
        int64 (n,): when it was handed to a connection, free or just being opened; -1 if never.
    done_ns
        int64 (n,): when its reply was read, or its failure known; -1 if never.
    status
        int16 (n,): HTTP status; 0 without a reply.
    outcome
        int8 (n,): values of `Outcome`.
    default
        bool (n,): replies that say ``"default": true``, as Clipper's do when no model answered in time.
    """

    intended_ns: NDArray[np.int64]
    sent_ns: NDArray[np.int64]
    done_ns: NDArray[np.int64]
    status: NDArray[np.int16]
    outcome: NDArray[np.int8]
    default: NDArray[np.bool_]

    def __len__(self) -> int:
        return int(self.intended_ns.size)

    @property
    def latency_ns(self) -> NDArray[np.int64]:
        """From the intended instant to the reply or the failure; int64 (n,), -1 for a query without either."""
        return np.where(self.done_ns < 0, -1, self.done_ns - self.intended_ns)

    def taken(self, places: slice | NDArray[np.int64]) -> Records:
        """Return the queries at these places."""
        return Records(**{name: getattr(self, name)[places] for name in self.__slots__})

    @classmethod
    def joined(cls, parts: Sequence[Records], keys: Sequence[NDArray[np.int64]]) -> Records:
        """Return the queries of several parts in the order of the keys, one key for each query of each part."""
        columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__}
        return cls(**columns).taken(np.argsort(np.concatenate(keys), kind="stable"))


class QueryLog:
    """Records while they are being made: flat memory, reached through views, because NumPy's own items are slow.

    Parameters
    ----------
    intended_ns
        Intended instants; zeros stand for those not known yet.
    """

    def __init__(self, intended_ns: NDArray[np.int64]) -> None:
        count = intended_ns.size
        self._hold(
            Records(
                intended_ns=np.array(intended_ns, dtype=np.int64),
                sent_ns=np.full(count, -1, np.int64),
                done_ns=np.full(count, -1, np.int64),
                status=np.zeros(count, np.int16),
                outcome=np.zeros(count, np.int8),
                default=np.zeros(count, np.bool_),
            )
        )

    def _hold(self, records: Records) -> None:
        self.records = records
        self.intended_ns = memoryview(records.intended_ns)  # type: ignore[arg-type]  # an array is a buffer
        self.sent_ns = memoryview(records.sent_ns)  # type: ignore[arg-type]
        self.done_ns = memoryview(records.done_ns)  # type: ignore[arg-type]
        self.status = memoryview(records.status)  # type: ignore[arg-type]
        self.outcome = memoryview(records.outcome)  # type: ignore[arg-type]
        self.default = memoryview(records.default)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.records)

    def double(self) -> None:
        """Make room for twice as many queries."""
        more = QueryLog(np.zeros(len(self), np.int64)).records
        both = (self.records, more)
        self._hold(
            Records(**{name: np.concatenate([getattr(each, name) for each in both]) for name in Records.__slots__})
        )
