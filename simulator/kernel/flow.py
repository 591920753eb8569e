"""What happens between stations, compiled: branches, joins and the end of the pipeline.

A stream is the pair (instants int64, query ids int32) of equal length, sorted by (instant, query id). Every function
here reads sorted streams and writes sorted streams: nothing is ever sorted.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from simulator.kernel.station import Ids, Instants

__all__ = ["count_late", "join_streams", "keep_taken", "note_finish"]


@njit(cache=True, nogil=True)
def keep_taken(in_ns: Instants, in_id: Ids, taken: NDArray[np.bool_], out_ns: Instants, out_id: Ids) -> int:
    """Copy the part of a stream whose queries take the edge; return its length.

    Parameters
    ----------
    in_ns, in_id : int64 (m,), int32 (m,)
        Departures of the parent.
    taken : bool (queries,)
        By query id.
    out_ns, out_id : int64 (m,), int32 (m,)
        Written without branching: the slot after the last kept entry is overwritten by the next.
    """
    kept = 0
    for k in range(in_ns.size):
        query = in_id[k]
        out_ns[kept] = in_ns[k]
        out_id[kept] = query
        kept += taken[query]
    return kept


@njit(cache=True, nogil=True)
def join_streams(a_ns: Instants, a_id: Ids, b_ns: Instants, b_id: Ids, out_ns: Instants, out_id: Ids) -> int:
    """Merge two streams so that a query in both comes once, at its later instant; return the length.

    A join of several parents is a fold of this over them. ``out_ns`` and ``out_id`` hold all queries of the trace.
    """
    awaited = np.zeros(out_id.size, dtype=np.int8)
    for k in range(a_id.size):
        awaited[a_id[k]] = 1
    for k in range(b_id.size):
        awaited[b_id[k]] += 1
    i, j, joined = 0, 0, 0
    while i < a_ns.size or j < b_ns.size:
        if j == b_ns.size or (i < a_ns.size and (a_ns[i] < b_ns[j] or (a_ns[i] == b_ns[j] and a_id[i] < b_id[j]))):
            now, query = a_ns[i], a_id[i]
            i += 1
        else:
            now, query = b_ns[j], b_id[j]
            j += 1
        awaited[query] -= 1
        if awaited[query] == 0:
            out_ns[joined] = now
            out_id[joined] = query
            joined += 1
    return joined


@njit(cache=True, nogil=True)
def note_finish(in_ns: Instants, in_id: Ids, finish_ns: Instants) -> None:
    """Raise ``finish_ns[query]`` to the instant at which the query leaves this station."""
    for k in range(in_ns.size):
        query = in_id[k]
        finish_ns[query] = max(finish_ns[query], in_ns[k])


@njit(cache=True, nogil=True)
def count_late(in_ns: Instants, in_id: Ids, deadline_ns: Instants, late: NDArray[np.bool_]) -> int:
    """Mark the queries that leave after their deadline in ``late``, bool (queries,); return how many are new."""
    new = 0
    for k in range(in_ns.size):
        query = in_id[k]
        if in_ns[k] > deadline_ns[query] and not late[query]:
            late[query] = True
            new += 1
    return new
