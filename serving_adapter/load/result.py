"""What a run has measured, query by query, and how it is put together from the parts of several processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serving_adapter.load.records import Records
from serving_adapter.load.share import Part
from serving_adapter.load.spec import ClosedLoop, LoadSpec

__all__ = ["LoadResult", "result_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadResult:
    """What a run has measured.

    Parameters
    ----------
    url
        Where the queries went.
    closed_loop
        Whether each connection waited for its reply before it sent the next query; then latencies are not those of
        an open system, and there is no send error.
    records
        Every query; in an interrupted run, those whose instant came before the interrupt.
    duration_ns
        Length of the traffic, at most up to the interrupt.
    lag_bound_ns
        The bound of the send error that was asked for; None for the usual rule.
    processes, connections
        How many sent; the most connections that they might have open, all together.
    opened, most_open, closed_by_server
        Connections opened, open at the same time (summed over the processes), and closed by the server.
    resent
        Queries sent once more, because the server closed an idle connection on which they had just gone out.
    crowded
        Queries that had to wait for a connection, because all were in use.
    cpu_s, wall_s
        CPU time of all processes, and time from the start to the last reply.
    excerpt
        Status and beginning of the first reply that is a failure; empty when there was none.
    interrupted
        Whether somebody ended the run before its end.
    """

    url: str
    closed_loop: bool
    records: Records
    duration_ns: int
    lag_bound_ns: int | None
    processes: int
    connections: int
    opened: int
    most_open: int
    closed_by_server: int
    resent: int
    crowded: int
    cpu_s: float
    wall_s: float
    excerpt: str
    interrupted: bool


def result_of(spec: LoadSpec, parts: Sequence[Part]) -> LoadResult:
    """Put the parts of a run together.

    Parameters
    ----------
    spec
        The run.
    parts
        One for each process: the queries of part k are number k, k + n, k + 2n ... of the traffic.
    """
    closed = isinstance(spec.traffic, ClosedLoop)
    duration_ns = spec.traffic.duration_ns
    if closed:
        keys = [part.records.intended_ns for part in parts]
    else:
        keys = [place + len(parts) * np.arange(len(part.records)) for place, part in enumerate(parts)]
    records = Records.joined([part.records for part in parts], keys)
    stops = [part.stopped_ns for part in parts if part.stopped_ns is not None]
    if stops:
        duration_ns = min(duration_ns, *stops)
        records = records.taken(slice(0, int(np.searchsorted(records.intended_ns, duration_ns, side="right"))))
    return LoadResult(
        url=spec.url,
        closed_loop=closed,
        records=records,
        duration_ns=duration_ns,
        lag_bound_ns=spec.lag_bound_ns,
        processes=spec.processes,
        connections=spec.connections if closed else spec.connections * spec.processes,
        opened=sum(part.opened for part in parts),
        most_open=sum(part.most_open for part in parts),
        closed_by_server=sum(part.closed_by_server for part in parts),
        resent=sum(part.resent for part in parts),
        crowded=sum(part.crowded for part in parts),
        cpu_s=sum(part.cpu_s for part in parts),
        wall_s=max(part.wall_s for part in parts),
        excerpt=next((part.excerpt for part in parts if part.excerpt), ""),
        interrupted=bool(stops),
    )
