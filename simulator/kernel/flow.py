"""What happens between stations, compiled: branches, joins and the end of the pipeline.

A stream is the pair (instants int64, query ids int32) of equal length, sorted by (instant, query id). Every function
here reads sorted streams and writes sorted streams: nothing is ever sorted.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from simulator.kernel.arrays import IDS, INSTANTS, READ_IDS, READ_INSTANTS, READ_MASK, WHOLE, Ids, Instants, Mask

__all__ = ["count_late", "join_streams", "keep_taken", "note_latency"]

_MASK = types.Array(types.boolean, 1, "C")


@njit(WHOLE(READ_INSTANTS, READ_IDS, READ_MASK, INSTANTS, IDS), cache=True, nogil=True)
def keep_taken(in_ns: Instants, in_id: Ids, taken: Mask, out_ns: Instants, out_id: Ids) -> int:
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


@njit(WHOLE(READ_INSTANTS, READ_IDS, READ_INSTANTS, READ_IDS, INSTANTS, IDS), cache=True, nogil=True)
def join_streams(a_ns: Instants, a_id: Ids, b_ns: Instants, b_id: Ids, out_ns: Instants, out_id: Ids) -> int:
    """Merge two streams so that a query in both comes once, at its later instant; return the length.

    A join of several parents is a fold of this over them. ``out_ns`` and ``out_id`` have room for every query of the
    trace; what is written after the last entry that counts means nothing.
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
        # Written without branching, as in keep_taken. The last entry of all counts, so this stays inside.
        out_ns[joined] = now
        out_id[joined] = query
        awaited[query] -= 1
        joined += awaited[query] == 0
    return joined


@njit(types.void(READ_INSTANTS, READ_IDS, READ_INSTANTS, INSTANTS), cache=True, nogil=True)
def note_latency(in_ns: Instants, in_id: Ids, arrival_ns: Instants, latency_ns: Instants) -> None:
    """Raise ``latency_ns[query]`` to the time from the query's arrival to its departure from this station."""
    for k in range(in_ns.size):
        query = in_id[k]
        latency_ns[query] = max(latency_ns[query], in_ns[k] - arrival_ns[query])


@njit(WHOLE(READ_INSTANTS, READ_IDS, READ_INSTANTS, _MASK), cache=True, nogil=True)
def count_late(in_ns: Instants, in_id: Ids, deadline_ns: Instants, late: Mask) -> int:
    """Mark the queries that leave after their deadline in ``late``, bool (queries,); return how many are new."""
    new = 0
    for k in range(in_ns.size):
        query = in_id[k]
        if in_ns[k] > deadline_ns[query] and not late[query]:
            late[query] = True
            new += 1
    return new
