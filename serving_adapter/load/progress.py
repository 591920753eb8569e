"""How a run is going."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from inferline.domain.slo import nearest_rank
from inferline.units import NANO
from serving_adapter.load.records import Outcome, Records

__all__ = ["Observe", "Progress", "recent_p99_s", "together"]

_RECENT = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How a run is going.

    Parameters
    ----------
    sent
        Queries whose turn has come.
    waiting
        Those of them that wait for a connection.
    in_flight
        Queries that are out.
    elapsed_s
        Time since the start.
    p99_s
        P99 latency of the answered ones among the last 2,000 queries of a process; None when there is none.
    """

    sent: int
    waiting: int
    in_flight: int
    elapsed_s: float
    p99_s: float | None


Observe = Callable[[Progress], None]


def recent_p99_s(records: Records, sent: int) -> float | None:
    """Return the P99 latency of the answered among the last 2,000 queries: looking at all would take too long."""
    recent = records.taken(slice(max(0, sent - _RECENT), sent))
    latency_ns = np.sort(recent.latency_ns[recent.outcome == Outcome.OK])
    if latency_ns.size == 0:
        return None
    return float(latency_ns[nearest_rank(Decimal(99), latency_ns.size) - 1]) / NANO


def together(parts: Sequence[Progress]) -> Progress:
    """Return the progress of several processes as one; its P99 is the largest of theirs."""
    return Progress(
        sent=sum(part.sent for part in parts),
        waiting=sum(part.waiting for part in parts),
        in_flight=sum(part.in_flight for part in parts),
        elapsed_s=max(part.elapsed_s for part in parts),
        p99_s=max((part.p99_s for part in parts if part.p99_s is not None), default=None),
    )
