"""A relaxed station, compiled: the fewest queries that any schedule at all must leave late."""

from __future__ import annotations

import numpy as np
from numba import njit

from simulator.kernel.station import Ids, Instants

__all__ = ["least_late", "release_in_order"]


@njit(cache=True, nogil=True)
def release_in_order(in_ns: Instants, in_id: Ids, order: Ids, scratch_ns: Instants, release_ns: Instants) -> None:
    """Write the release of every visit in the order of deadlines, made non-decreasing by moving releases earlier.

    Parameters
    ----------
    in_ns, in_id : int64 (m,), int32 (m,)
        Arrivals at the station.
    order : int32 (m,)
        The same queries by deadline.
    scratch_ns : int64 (queries,)
        Overwritten.
    release_ns : int64 (m,)
        Result: the minimum of the arrivals from this place of the order on.
    """
    for k in range(in_ns.size):
        scratch_ns[in_id[k]] = in_ns[k]
    earliest = np.int64(2**62)
    for k in range(order.size - 1, -1, -1):
        earliest = min(earliest, scratch_ns[order[k]])
        release_ns[k] = earliest


@njit(cache=True, nogil=True)
def least_late(release_ns: Instants, deadline_ns: Instants, work_ns: float, least_ns: int, late_allowed: int) -> int:
    """Return the fewest visits that can be late, counting no further than one above ``late_allowed``.

    One preemptive machine does ``work_ns`` of time for each visit, between its release and its deadline; releases and
    deadlines ascend together, and all visits need the same work, so first come, first served, skipping whoever would
    be late, leaves the fewest late. A visit whose release and deadline are less than ``least_ns`` apart is late.

    Parameters
    ----------
    release_ns, deadline_ns : int64 (m,)
        Both non-decreasing.
    work_ns
        Least replica time per visit over the number of replicas.
    least_ns
        Least service time of any batch.
    late_allowed
        Stop above it.
    """
    done_ns, late = 0.0, 0
    for k in range(release_ns.size):
        finish_ns = max(done_ns, float(release_ns[k])) + work_ns
        if finish_ns > deadline_ns[k] or release_ns[k] + least_ns > deadline_ns[k]:
            late += 1
            if late > late_allowed:
                return late
        else:
            done_ns = finish_ns
    return late
