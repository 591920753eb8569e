"""One station, compiled: the inner loop of everything that plans.

There is no event list. A station reads its arrivals, sorted by (instant, query id), and writes its departures in
the same order. Replicas are kept sorted by the instant at which they get free, in a small buffer. The first of them
leaves it, and its batch departs; the next batch starts then, or when a query arrives, and goes back in from the end:
service times differ little, so it passes few others (none when B = 1). So departures come out sorted; only queries
that leave at the same instant are put in order of their ids, run by run.

The loop stops at ``until_ns`` and can go on from its own state, with more arrivals and another number of replicas.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from simulator.kernel.arrays import IDS, INSTANTS, READ_IDS, READ_INSTANTS, WHOLE, Ids, Instants

__all__ = [
    "ABORTED",
    "BATCHES",
    "BUSY_NS",
    "CLOCK_NS",
    "EMITTED",
    "LARGEST",
    "SHORT",
    "STATE_SIZE",
    "TAKEN",
    "Ids",
    "Instants",
    "advance_sampled",
    "advance_station",
    "serve_unbatched",
]

SIZE_BITS = 32
"""The batch of a replica is packed as first arrival << 32 | size; both are below 2**31."""

STATE_SIZE = 11
HEAD, TAIL, TAKEN, EMITTED, BATCHES, BUSY_NS, LATE, ABORTED, CLOCK_NS, LARGEST, SHORT = range(STATE_SIZE)
"""Fields of the int64 state: bounds of the batches in service, arrivals taken, departures written, totals, the
instant up to which the station has been simulated, the largest batch, and whether a query ever found every replica
busy."""

_SHORT_RUN = 64
_NO_ROWS: Ids = np.empty(0, dtype=np.int32)


@njit(types.void(IDS, WHOLE, WHOLE), cache=True, nogil=True)
def _order_run(out_id: Ids, start: int, end: int) -> None:
    """Sort the ids that leave at one instant; most runs are short, and there insertion beats a general sort."""
    if end - start > _SHORT_RUN:
        out_id[start:end].sort()
        return
    for place in range(start + 1, end):
        query = out_id[place]
        k = place
        while k > start and out_id[k - 1] > query:
            out_id[k] = out_id[k - 1]
            k -= 1
        out_id[k] = query


def advance_station(
    in_ns: Instants,
    in_id: Ids,
    latency_ns: Instants,
    replicas: int,
    until_ns: int,
    state: Instants,
    free_ns: Instants,
    batch: Instants,
    out_ns: Instants,
    out_id: Ids,
    deadline_ns: Instants,
    late_allowed: int,
    log_dispatch_ns: Instants,
    log_first: Ids,
) -> None:
    """Simulate one station whose service times depend on the batch size only, as `advance_sampled` does.

    The arguments are those of `advance_sampled`; ``latency_ns``, int64 (B,), is L(1) ... L(B).
    """
    advance_sampled(
        in_ns, in_id, latency_ns, latency_ns.size, _NO_ROWS, replicas, until_ns, state, free_ns, batch, out_ns,
        out_id, deadline_ns, late_allowed, log_dispatch_ns, log_first,
    )  # fmt: skip


@njit(
    types.void(
        READ_INSTANTS, READ_IDS, READ_INSTANTS, WHOLE, READ_IDS, WHOLE, WHOLE, INSTANTS, INSTANTS, INSTANTS, INSTANTS,
        IDS, READ_INSTANTS, WHOLE, INSTANTS, IDS,
    ),
    cache=True,
    nogil=True,
)  # fmt: skip
def advance_sampled(  # noqa: PLR0912, PLR0915 - one compiled loop; calls from it would cost as much as its work
    in_ns: Instants,
    in_id: Ids,
    latency_ns: Instants,
    max_batch: int,
    row: Ids,
    replicas: int,
    until_ns: int,
    state: Instants,
    free_ns: Instants,
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
        Arrivals, sorted by (instant, query id). All arrivals before ``until_ns`` must be there; later calls may
        append more.
    latency_ns : int64 (K * B,)
        L(1) ... L(B) in each of K rows, one row after the other.
    max_batch : int
        B.
    row : int32 (n,) or (0,)
        Row of every batch, by the order of dispatch; empty for the first row throughout.
    replicas : int
        c, from the end of the previous call on; 0 is possible. A replica that is taken away while it is busy
        finishes its batch.
    until_ns : int
        Dispatches and completions before this instant happen. Not before that of the previous call.
    state : int64 (STATE_SIZE,)
        Zero at the start; kept between calls.
    free_ns, batch : int64 (capacity,)
        Batches in service; kept between calls. Room for every replica, and for the batches still in service.
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
    capacity = free_ns.size
    sampled = row.size > 0
    size_mask = (1 << SIZE_BITS) - 1
    checked = deadline_ns.size > 0
    logged = log_first.size > 0
    head, tail, i, out = state[HEAD], state[TAIL], state[TAKEN], state[EMITTED]
    batches, busy_ns, late = state[BATCHES], state[BUSY_NS], state[LATE]
    largest, short = state[LARGEST], state[SHORT] > 0
    run_ns, run_start, last_id, unordered = np.int64(-1), out, np.int64(-1), False

    # Idle and new replicas are free since the last call and stand, with empty batches, before those in service.
    # More of them than arrivals would never be used.
    in_service = tail - head
    places = max(in_service, min(replicas, n))
    if capacity < places or out_ns.size < n or out_id.size < n or (sampled and row.size < n):
        raise ValueError("the buffers are shorter than the arrivals or the replicas")
    for k in range(1, in_service + 1):
        free_ns[capacity - k] = free_ns[tail - k]
        batch[capacity - k] = batch[tail - k]
    head, tail = capacity - places, capacity
    for k in range(head, tail - in_service):
        free_ns[k] = state[CLOCK_NS]
        batch[k] = 0

    while head < tail:
        # The next replica to get free: its batch departs.
        now = free_ns[head]
        if now >= until_ns:
            break
        first = batch[head] >> SIZE_BITS
        end = first + (batch[head] & size_mask)
        head += 1
        if now != run_ns:
            if unordered:
                _order_run(out_id, run_start, out)
            run_ns, run_start, last_id, unordered = now, out, np.int64(-1), False
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
        # It takes what has arrived by now, or waits for the next arrival; unless it has been taken away.
        if i == n or tail - head >= replicas:
            continue
        short |= now > in_ns[i]
        now = max(now, in_ns[i])
        if now >= until_ns:
            continue
        stop = min(i + max_batch, n)
        j = i + 1
        while j < stop and in_ns[j] <= now:
            j += 1
        size = j - i
        largest = max(largest, size)
        service_ns = latency_ns[row[batches] * max_batch + size - 1] if sampled else latency_ns[size - 1]
        done = now + service_ns
        busy_ns += service_ns
        if logged:
            log_dispatch_ns[batches] = now
            log_first[batches] = i
        batches += 1
        if tail == capacity:
            for k in range(head, tail):
                free_ns[k - head] = free_ns[k]
                batch[k - head] = batch[k]
            tail -= head
            head = 0
        k = tail
        while k > head and free_ns[k - 1] > done:
            free_ns[k] = free_ns[k - 1]
            batch[k] = batch[k - 1]
            k -= 1
        free_ns[k] = done
        batch[k] = (i << SIZE_BITS) | size
        tail += 1
        i = j
    if unordered:
        _order_run(out_id, run_start, out)
    state[HEAD], state[TAIL], state[TAKEN], state[EMITTED] = head, tail, i, out
    state[BATCHES], state[BUSY_NS], state[LATE], state[CLOCK_NS] = batches, busy_ns, late, until_ns
    state[LARGEST], state[SHORT] = largest, short


@njit(
    types.void(
        READ_INSTANTS, READ_IDS, WHOLE, WHOLE, INSTANTS, INSTANTS, IDS, READ_INSTANTS, WHOLE, INSTANTS, IDS
    ),
    cache=True,
    nogil=True,
)  # fmt: skip
def serve_unbatched(
    in_ns: Instants,
    in_id: Ids,
    service_ns: int,
    replicas: int,
    state: Instants,
    out_ns: Instants,
    out_id: Ids,
    deadline_ns: Instants,
    late_allowed: int,
    log_dispatch_ns: Instants,
    log_first: Ids,
) -> None:
    """Simulate one station with B = 1 from empty to empty.

    Service times are equal, so queries leave in the order in which they came, and query k starts when query k - c
    has left: finish(k) = max(arrival(k), finish(k - c)) + L. That is `advance_station` without its bookkeeping.
    The arguments are those of `advance_station`, except that the state is only written.
    """
    checked = deadline_ns.size > 0
    logged = log_first.size > 0
    run_start, late, out = 0, 0, 0
    unordered, short = False, False
    if out_ns.size < in_ns.size or out_id.size < in_ns.size:
        raise ValueError("the buffers are shorter than the arrivals")
    for k in range(in_ns.size):
        start = in_ns[k]
        if k >= replicas:
            short |= out_ns[k - replicas] > start
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
        out = k + 1
        if checked:
            late += now > deadline_ns[query]
            if late > late_allowed:
                state[ABORTED] = 1
                break
    if unordered:
        _order_run(out_id, run_start, out)
    state[TAKEN], state[EMITTED], state[BATCHES], state[BUSY_NS], state[LATE] = out, out, out, out * service_ns, late
    state[LARGEST], state[SHORT] = min(out, 1), short
