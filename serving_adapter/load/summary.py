"""A run in a few figures, and whether they count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from inferline.domain.slo import nearest_rank
from inferline.units import NANO, format_duration
from serving_adapter.load.records import Outcome, Records
from serving_adapter.load.result import LoadResult

__all__ = ["Percentiles", "SendError", "Summary", "lag_bound_ns", "summarise"]

LAG_SHARE = 0.1
LAG_FLOOR_NS = NANO // 500
LAG_CAP_NS = NANO // 100
LEAST_RATE = 0.99
BUSY = 0.8
"""CPU share of a process from which it counts as the bottleneck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Latencies in nanoseconds, nearest rank over all queries; a failed one is slower than any that was answered.

    None where the rank falls on a failure; ``max_ns`` is the largest of the answered ones, None without any.
    """

    p50_ns: int | None
    p90_ns: int | None
    p95_ns: int | None
    p99_ns: int | None
    max_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SendError:
    """Actual minus intended sending in nanoseconds, nearest rank over all queries.

    A query that was never sent counts from its instant to when it was given up.
    """

    p50_ns: int
    p99_ns: int
    max_ns: int
    bound_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A run in a few figures.

    Parameters
    ----------
    queries, ok, defaults, unfinished
        Queries in all; answered and not refused by the check; with the default output; cut off by an interrupt.
    errors
        Failed queries by kind, the most frequent first: ``timeout``, ``refused``, ``http 503`` ...
    asked_qps, achieved_qps
        Of an open loop: queries over the length of the traffic, and those of them sent within that length (and the
        bound of the send error). None in a closed loop.
    throughput_qps
        Answered queries whose reply came within the length of the traffic, per second of it.
    latency
        From the intended instant; in a closed loop, from the sending.
    send_error
        None in a closed loop, or when there is no query.
    slo_ns, attainment
        A latency, and the share of all queries answered within it with other than the default output.
    why
        Why the run does not count; empty when it counts.
    """

    queries: int
    ok: int
    defaults: int
    unfinished: int
    errors: Mapping[str, int]
    asked_qps: float | None
    achieved_qps: float | None
    throughput_qps: float
    latency: Percentiles
    send_error: SendError | None
    slo_ns: int | None
    attainment: float | None
    why: str


def summarise(result: LoadResult, slo_ns: int | None = None) -> Summary:
    """Return the figures of a run.

    Parameters
    ----------
    result
        The run.
    slo_ns
        A latency to judge queries by.
    """
    records = result.records
    counted = records.taken(np.flatnonzero(records.outcome != Outcome.UNFINISHED))
    answered = counted.outcome == Outcome.OK
    latency_ns = counted.latency_ns
    latency = _percentiles(latency_ns[answered], len(counted))
    send_error, asked, achieved = None, None, None
    duration_s = max(result.duration_ns, 1) / NANO
    if not result.closed_loop:
        asked = len(records) / duration_s
        achieved = 0.0
        bound = lag_bound_ns(latency.p99_ns) if result.lag_bound_ns is None else result.lag_bound_ns
        if len(records):
            send_error = _send_error(records, result.duration_ns, bound)
            in_time = (records.sent_ns >= 0) & (records.sent_ns <= result.duration_ns + bound)
            achieved = int(in_time.sum()) / duration_s
    attained = answered & ~counted.default & (latency_ns <= (slo_ns or 0))
    figures = Summary(
        queries=len(records),
        ok=int(answered.sum()),
        defaults=int(counted.default.sum()),
        unfinished=len(records) - len(counted),
        errors=_errors(counted),
        asked_qps=asked,
        achieved_qps=achieved,
        throughput_qps=int((answered & (counted.done_ns <= result.duration_ns)).sum()) / duration_s,
        latency=latency,
        send_error=send_error,
        slo_ns=slo_ns,
        attainment=None if slo_ns is None or not len(counted) else float(attained.mean()),
        why="",
    )
    return _with_verdict(figures, result)


def lag_bound_ns(latency_p99_ns: int | None) -> int:
    """Return the largest P99 of the send error with which a run counts: a tenth of the P99 latency, in [2, 10] ms.

    As latency is counted from the intended instant, the send error is a part of it: so much of the P99 may be the
    generator's. Below 2 ms no shared machine can be held to it; above 10 ms the arrivals are not those asked for.

    Examples
    --------
    >>> [lag_bound_ns(p99) for p99 in (3_000_000, 50_000_000, 700_000_000, None)]
    [2000000, 5000000, 10000000, 10000000]
    """
    if latency_p99_ns is None:
        return LAG_CAP_NS
    return int(min(max(LAG_SHARE * latency_p99_ns, LAG_FLOOR_NS), LAG_CAP_NS))


def _percentiles(answered_ns: NDArray[np.int64], count: int) -> Percentiles:
    ordered = np.sort(answered_ns)

    def at(percentile: int) -> int | None:
        rank = nearest_rank(Decimal(percentile), count)
        return int(ordered[rank - 1]) if 1 <= rank <= ordered.size else None

    return Percentiles(
        p50_ns=at(50),
        p90_ns=at(90),
        p95_ns=at(95),
        p99_ns=at(99),
        max_ns=int(ordered[-1]) if ordered.size else None,
    )


def _send_error(records: Records, duration_ns: int, bound_ns: int) -> SendError:
    given_up_ns = np.where(records.done_ns >= 0, records.done_ns, duration_ns)
    until_ns = np.where(records.sent_ns >= 0, records.sent_ns, given_up_ns)
    lag = _percentiles(until_ns - records.intended_ns, len(records))
    # Of all queries each has one: no rank falls on a failure.
    return SendError(p50_ns=lag.p50_ns or 0, p99_ns=lag.p99_ns or 0, max_ns=lag.max_ns or 0, bound_ns=bound_ns)


def _errors(counted: Records) -> dict[str, int]:
    found: dict[str, int] = {}
    for outcome in Outcome:
        if outcome in (Outcome.UNFINISHED, Outcome.OK, Outcome.STATUS):
            continue
        found[outcome.name.lower()] = int((counted.outcome == outcome).sum())
    statuses, counts = np.unique(counted.status[counted.outcome == Outcome.STATUS], return_counts=True)
    found |= {f"http {status}": int(count) for status, count in zip(statuses, counts, strict=True)}
    return {kind: found[kind] for kind in sorted(found, key=lambda kind: -found[kind]) if found[kind]}


def _with_verdict(figures: Summary, result: LoadResult) -> Summary:
    """Return the figures with the reasons why they do not count, if there are any."""
    reasons = []
    lag = figures.send_error
    if lag is not None and lag.p99_ns > lag.bound_ns:
        late, bound = format_duration(lag.p99_ns), format_duration(lag.bound_ns)
        reasons.append(f"the P99 of the send error is {late}, above {bound}")
    asked, achieved = figures.asked_qps, figures.achieved_qps
    if asked is not None and achieved is not None and achieved < LEAST_RATE * asked:
        reasons.append(f"{achieved:,.0f} queries/s were sent of {asked:,.0f} asked for")
    if reasons:
        reasons.append(_remedy(result))
    if wrong := figures.errors.get("wrong"):
        reasons.append(f"{wrong:,} replies are not what the check expects")
    if not figures.ok:
        reasons.append("no query was answered")
    return Summary(
        **{name: getattr(figures, name) for name in Summary.__slots__ if name != "why"}, why="; ".join(reasons)
    )


def _remedy(result: LoadResult) -> str:
    """Return what to do about a generator that was late."""
    busy = result.cpu_s / max(result.wall_s, 1e-9) / result.processes
    if busy >= BUSY:
        return f"the generator was busy {busy:.0%} of the time: give it more processes, or ask for less"
    if result.crowded:
        return (
            f"{result.crowded:,} queries found all of {result.connections:,} connections in use: "
            "the server is too slow for this rate, or needs more connections"
        )
    return f"something else had the CPU, of which the generator used {busy:.0%}: give it cores of its own"
