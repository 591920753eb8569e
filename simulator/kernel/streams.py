"""Streams of queries between stations, and the buffers they are written into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulator.kernel.arrays import Ids, Instants, Mask
from simulator.kernel.flow import join_streams, keep_taken

__all__ = ["Pool", "Stream", "enter", "feed"]


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """Queries that pass a point of the network, sorted by (instant, query id).

    Parameters
    ----------
    instant_ns
        int64 (m,).
    query_id
        int32 (m,).
    """

    instant_ns: Instants
    query_id: Ids

    def __len__(self) -> int:
        return int(self.instant_ns.size)

    @property
    def nbytes(self) -> int:
        """Memory that the stream's entries take; its buffers hold 12 bytes for every query of the trace."""
        return int(self.instant_ns.nbytes + self.query_id.nbytes)


class Pool:
    """Buffers that streams are written into, used again once nobody reads them; threads may share it.

    Fresh memory costs a page fault per page when it is first written: as much as simulating.

    Parameters
    ----------
    capacity
        Length of every buffer: the number of queries.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._free: list[tuple[Instants, Ids]] = []

    def take(self) -> tuple[Instants, Ids]:
        """Return a buffer of instants and one of query ids, with any content."""
        try:
            return self._free.pop()
        except IndexError:  # asking first whether there is one would race with other threads
            return np.empty(self._capacity, dtype=np.int64), np.empty(self._capacity, dtype=np.int32)

    def give_back(self, stream: Stream) -> None:
        """Take back the buffers of a stream that came from here and that nobody reads any more; once."""
        instant, query = stream.instant_ns.base, stream.query_id.base
        if isinstance(instant, np.ndarray) and isinstance(query, np.ndarray):
            self._free.append((instant, query))


def enter(arrival_ns: Instants) -> Stream:
    """Return the stream of all queries at the entries of the network."""
    return Stream(arrival_ns, np.arange(arrival_ns.size, dtype=np.int32))


def feed(parents: Sequence[tuple[Stream, Mask | None]], pool: Pool) -> Stream:
    """Return the arrivals of a station from the departures of its parents.

    Parameters
    ----------
    parents
        Per parent, its departures and which queries take the edge (None: all).
    pool
        Where the result is written; buffers needed on the way are given back.

    Returns
    -------
    Stream
        The departures themselves, not a copy, when one parent sends everything on.
    """
    (first, taken), *others = parents
    joined = first if taken is None else _taken(first, taken, pool)
    for departures, taken in others:
        stream = departures if taken is None else _taken(departures, taken, pool)
        instant, query = pool.take()
        length = join_streams(joined.instant_ns, joined.query_id, stream.instant_ns, stream.query_id, instant, query)
        for read in (joined, stream):
            if all(read is not departures for departures, _ in parents):
                pool.give_back(read)
        joined = Stream(instant[:length], query[:length])
    return joined


def _taken(departures: Stream, taken: Mask, pool: Pool) -> Stream:
    instant, query = pool.take()
    kept = keep_taken(departures.instant_ns, departures.query_id, taken, instant, query)
    return Stream(instant[:kept], query[:kept])
