"""One station, compiled: the inner loop of everything that plans.

There is no event list. A station reads its arrivals, sorted by (instant, query id), and writes its departures in
the same order. Batches in service are kept sorted by completion in a small buffer: a new batch is put in from the
back, and since service times differ little it rarely moves past more than a few others (past none when B = 1).
Completions leave from the front, so departures come out sorted; only queries that leave at the same instant are
put in order of their ids, run by run.

The loop stops at ``until_ns`` and can go on from its own state, with more arrivals and another number of replicas.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = [
    "ABORTED",
    "BATCHES",
    "BUSY_NS",
    "EMITTED",
    "STATE_SIZE",
    "TAKEN",
    "advance_station",
    "replica_busy",
    "serve_unbatched",
]

Instants = NDArray[np.int64]
Ids = NDArray[np.int32]

SIZE_BITS = 20
"""A batch in service is packed as first query << 20 | size."""

STATE_SIZE = 8
HEAD, TAIL, TAKEN, EMITTED, BATCHES, BUSY_NS, LATE, ABORTED = range(STATE_SIZE)
"""Fields of the int64 state: bounds of the batches in service, arrivals taken, departures written, totals."""


@njit(cache=True, nogil=True)
def _order_run(out_id: Ids, start: int, end: int) -> None:
    """Sort the ids that leave at one instant; a run is short, so insertion beats a call of a general sort."""
    if end - start > 64:
        out_id[start:end].sort()
        return
    for place in range(start + 1, end):
        query = out_id[place]
        k = place
        while k > start and out_id[k - 1] > query:
            out_id[k] = out_id[k - 1]
            k -= 1
        out_id[k] = query


@njit(cache=True, nogil=True)
def advance_station(  # noqa: PLR0912, PLR0915 - one compiled loop; calls from it would cost as much as its work
    in_ns: Instants,
    in_id: Ids,
    latency_ns: Instants,
    replicas: int,
    until_ns: int,
    state: Instants,
    finish_ns: Instants,
    batch: Instants,
    out_ns: Instants,
    out_id: Ids,
    deadline_ns: Instants,
    late_allowed: int,
    log_dispatch_ns: Instants,
    log_first: Ids,
) -> None:
    """Simulate one station up to, and not including, ``until_ns``.

    Parameters
    ----------
    in_ns, in_id : int64 (n,), int32 (n,)
        Arrivals, sorted by (instant, query id). All arrivals before ``until_ns`` must be there.
    latency_ns : int64 (B,)
        L(1) ... L(B).
    replicas : int
        c.
    until_ns : int
        Dispatches and completions before this instant happen.
    state : int64 (STATE_SIZE,)
        Zero at the start; kept between calls.
    finish_ns, batch : int64 (capacity,)
        Batches in service; kept between calls. Capacity above the most batches ever in service at once.
    out_ns, out_id : int64 (n,), int32 (n,)
        Departures are appended here.
    deadline_ns : int64 (queries,) or (0,)
        By query id: a departure after it counts as late. Empty for no deadlines.
    late_allowed : int
        Stop with ``ABORTED`` set as soon as more departures than this are late.
    log_dispatch_ns, log_first : int64 (n,), int32 (n,) or (0,)
        Instant and first arrival of every batch, in order of dispatch; empty for no log.

    Notes
    -----
    O(n) for service times that do not differ; at worst O(n c).
    """
    n = in_ns.size
    max_batch = latency_ns.size
    capacity = finish_ns.size
    mask = (1 << SIZE_BITS) - 1
    checked = deadline_ns.size > 0
    logged = log_first.size > 0
    head, tail, i, out = state[HEAD], state[TAIL], state[TAKEN], state[EMITTED]
    batches, busy_ns, late = state[BATCHES], state[BUSY_NS], state[LATE]
    run_ns, run_start, last_id, unordered = np.int64(-1), out, np.int64(-1), False
    while True:
        # Who goes next: a completion, or a dispatch at `now`.
        arrival = in_ns[i] if i < n else until_ns
        waiting = arrival < until_ns
        if tail > head and (tail - head >= replicas or finish_ns[head] <= arrival or not waiting):
            now = finish_ns[head]
            if now >= until_ns:
                break
            if now != run_ns:
                if unordered:
                    _order_run(out_id, run_start, out)
                run_ns, run_start, last_id, unordered = now, out, np.int64(-1), False
            first = batch[head] >> SIZE_BITS
            end = first + (batch[head] & mask)
            head += 1
            for k in range(first, end):
                query = in_id[k]
                unordered |= query < last_id
                last_id = query
                out_ns[out] = now
                out_id[out] = query
                out += 1
                if checked:
                    late += now > deadline_ns[query]
            if checked and late > late_allowed:
                state[ABORTED] = 1
                break
            if tail - head >= replicas or now <= arrival or not waiting:
                continue
        elif waiting:
            now = arrival
        else:
            break
        # Dispatch: everything that has arrived by now, up to the maximum batch size.
        stop = min(i + max_batch, n)
        j = i + 1
        while j < stop and in_ns[j] <= now:
            j += 1
        size = j - i
        done = now + latency_ns[size - 1]
        busy_ns += latency_ns[size - 1]
        if logged:
            log_dispatch_ns[batches] = now
            log_first[batches] = i
        batches += 1
        if tail == capacity:
            for k in range(head, tail):
                finish_ns[k - head] = finish_ns[k]
                batch[k - head] = batch[k]
            tail -= head
            head = 0
        k = tail
        while k > head and finish_ns[k - 1] > done:
            finish_ns[k] = finish_ns[k - 1]
            batch[k] = batch[k - 1]
            k -= 1
        finish_ns[k] = done
        batch[k] = (i << SIZE_BITS) | size
        tail += 1
        i = j
    if unordered:
        _order_run(out_id, run_start, out)
    state[HEAD], state[TAIL], state[TAKEN], state[EMITTED] = head, tail, i, out
    state[BATCHES], state[BUSY_NS], state[LATE] = batches, busy_ns, late


@njit(cache=True, nogil=True)
def serve_unbatched(
    in_ns: Instants,
    in_id: Ids,
    service_ns: int,
    replicas: int,
    out_ns: Instants,
    out_id: Ids,
    deadline_ns: Instants,
    late_allowed: int,
    log_dispatch_ns: Instants,
    log_first: Ids,
) -> tuple[int, bool]:
    """Simulate one station with B = 1 from empty to empty; return departures written, and whether it gave up.

    Service times are equal, so queries leave in the order in which they came, and query k starts when query k - c
    has left: finish(k) = max(arrival(k), finish(k - c)) + L. That is `advance_station` without its bookkeeping.
    The arguments are those of `advance_station`.
    """
    checked = deadline_ns.size > 0
    logged = log_first.size > 0
    run_start, late = 0, 0
    unordered = False
    for k in range(in_ns.size):
        start = in_ns[k]
        if k >= replicas:
            start = max(start, out_ns[k - replicas])
        now = start + service_ns
        query = in_id[k]
        if k > 0 and now != out_ns[k - 1]:
            if unordered:
                _order_run(out_id, run_start, k)
            run_start, unordered = k, False
        elif k > 0:
            unordered |= query < out_id[k - 1]
        out_ns[k] = now
        out_id[k] = query
        if logged:
            log_dispatch_ns[k] = start
            log_first[k] = k
        if checked:
            late += now > deadline_ns[query]
            if late > late_allowed:
                return k + 1, True
    if unordered:
        _order_run(out_id, run_start, in_ns.size)
    return in_ns.size, False


@njit(cache=True, nogil=True)
def replica_busy(dispatch_ns: Instants, service_ns: Instants, replicas: int) -> Instants:
    """Return the busy time of each replica, int64 (c,), from the batches in order of dispatch.

    A batch goes to the replica with the smallest (free since, index).
    """
    free_ns = np.zeros(replicas, dtype=np.int64)
    busy_ns = np.zeros(replicas, dtype=np.int64)
    for k in range(dispatch_ns.size):
        chosen = 0
        for replica in range(1, replicas):
            if free_ns[replica] < free_ns[chosen]:
                chosen = replica
        free_ns[chosen] = dispatch_ns[k] + service_ns[k]
        busy_ns[chosen] += service_ns[k]
    return busy_ns
