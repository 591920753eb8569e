"""From the batches that a station logged to its visits and to the replicas that served them, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit, types

from simulator.kernel.arrays import IDS, INSTANTS, READ_IDS, READ_INSTANTS, WHOLE, Ids, Instants

__all__ = ["batch_times", "order_visits", "replica_busy"]


@njit(INSTANTS(READ_IDS, WHOLE, READ_INSTANTS, WHOLE, READ_IDS), cache=True, nogil=True)
def batch_times(first: Ids, visits: int, latency_ns: Instants, max_batch: int, row: Ids) -> Instants:
    """Return the service time of every batch, int64 (batches,), in order of dispatch.

    The arguments are those of `order_visits` and, for ``latency_ns`` to ``row``, of `advance_sampled`.
    """
    batch_ns = np.empty(first.size, dtype=np.int64)
    sampled = row.size > 0
    for b in range(first.size):
        end = first[b + 1] if b + 1 < first.size else visits
        place = end - first[b] - 1
        batch_ns[b] = latency_ns[row[b] * max_batch + place] if sampled else latency_ns[place]
    return batch_ns


@njit(
    types.void(
        READ_INSTANTS, READ_IDS, READ_INSTANTS, READ_IDS, READ_INSTANTS, IDS, IDS, INSTANTS, INSTANTS, INSTANTS
    ),
    cache=True,
    nogil=True,
)
def order_visits(
    in_ns: Instants,
    in_id: Ids,
    dispatch_ns: Instants,
    first: Ids,
    batch_ns: Instants,
    place: Ids,
    query_id: Ids,
    arrival_ns: Instants,
    wait_ns: Instants,
    service_ns: Instants,
) -> None:
    """Write every visit of a station at its place in the order of query ids.

    Parameters
    ----------
    in_ns, in_id : int64 (m,), int32 (m,)
        Arrivals at the station, in its queue's order.
    dispatch_ns, first : int64 (batches,), int32 (batches,)
        Instant of every batch, and position of its first query among the arrivals.
    batch_ns : int64 (batches,)
        Service time of every batch.
    place : int32 (queries,)
        Zeros; becomes the place of every query among those that visit the station.
    query_id, arrival_ns, wait_ns, service_ns : int32 and int64 (m,)
        Written.
    """
    for k in range(in_id.size):
        place[in_id[k]] = 1
    visits = 0
    for query in range(place.size):
        if place[query] == 1:
            place[query] = visits
            query_id[visits] = query
            visits += 1
    for b in range(first.size):
        end = first[b + 1] if b + 1 < first.size else in_id.size
        for k in range(first[b], end):
            to = place[in_id[k]]
            arrival_ns[to] = in_ns[k]
            wait_ns[to] = dispatch_ns[b] - in_ns[k]
            service_ns[to] = batch_ns[b]


@njit(INSTANTS(READ_INSTANTS, READ_INSTANTS, WHOLE), cache=True, nogil=True)
def replica_busy(dispatch_ns: Instants, batch_ns: Instants, replicas: int) -> Instants:
    """Return the busy time of each replica, int64 (c,), from the batches in order of dispatch.

    A batch goes to the replica with the smallest (free since, index). The replicas stand in that order in a ring:
    the first takes the batch and goes back in from the end, as in `advance_station`.
    """
    busy_ns = np.zeros(replicas, dtype=np.int64)
    used = min(replicas, batch_ns.size)
    free_ns = np.zeros(used, dtype=np.int64)
    ring = np.arange(used)
    head = 0
    for b in range(batch_ns.size):
        service_ns = batch_ns[b]
        replica = ring[head]
        busy_ns[replica] += service_ns
        done = dispatch_ns[b] + service_ns
        k = head
        for _ in range(used - 1):
            before = k - 1 if k > 0 else used - 1
            if free_ns[before] < done or (free_ns[before] == done and ring[before] < replica):
                break
            free_ns[k], ring[k] = free_ns[before], ring[before]
            k = before
        free_ns[k], ring[k] = done, replica
        head = head + 1 if head + 1 < used else 0
    return busy_ns
