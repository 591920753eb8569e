"""Streams between stations: nothing is copied without need, and no buffer is written while it is still read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from simulator.kernel.streams import Pool, Stream, enter, feed


class CountingPool(Pool):
    """A pool that knows how many buffers are out."""

    out = 0

    def take(self):
        self.out += 1
        return super().take()

    def give_back(self, stream):
        self.out -= 1
        super().give_back(stream)


def departures(pool: Pool, *entries: tuple[int, int]) -> Stream:
    instant, query = pool.take()
    for place, (now, number) in enumerate(entries):
        instant[place], query[place] = now, number
    return Stream(instant[: len(entries)], query[: len(entries)])


def entries(stream: Stream) -> list[tuple[int, int]]:
    return list(zip(stream.instant_ns.tolist(), stream.query_id.tolist(), strict=True))


def test_all_queries_enter_in_their_order():
    assert entries(enter(np.array([3, 3, 8]))) == [(3, 0), (3, 1), (8, 2)]
    assert enter(np.array([3, 3, 8])).nbytes == 36


def test_one_parent_that_sends_everything_on_is_read_where_it_is():
    pool = CountingPool(2)
    parent = departures(pool, (1, 0), (2, 1))
    assert feed([(parent, None)], pool) is parent
    assert pool.out == 1


@pytest.mark.parametrize("masked", range(8))
def test_a_join_leaves_its_parents_alone_and_takes_one_buffer(masked):
    pool = CountingPool(3)
    content = [[(1, 0), (4, 1), (9, 2)], [(3, 1), (5, 0), (6, 2)], [(2, 2), (4, 0), (4, 1)]]
    parents = [departures(pool, *each) for each in content]
    everyone = np.ones(3, dtype=np.bool_)
    fed_by = [(parent, everyone if masked >> place & 1 else None) for place, parent in enumerate(parents)]
    assert entries(feed(fed_by, pool)) == [(4, 1), (5, 0), (9, 2)]
    assert [entries(parent) for parent in parents] == content
    assert pool.out == 4


def test_a_join_with_nobody_coming_is_empty():
    pool = CountingPool(2)
    parents = [departures(pool, (1, 0), (2, 1)), departures(pool, (1, 1))]
    nobody = np.zeros(2, dtype=np.bool_)
    assert entries(feed([(parent, nobody) for parent in parents], pool)) == []


def test_a_buffer_is_used_again_only_after_it_was_given_back():
    pool = Pool(4)
    first, second = departures(pool, (1, 0)), departures(pool, (2, 1))
    assert not np.shares_memory(first.instant_ns, second.instant_ns)
    pool.give_back(first)
    again = departures(pool, (3, 2))
    assert np.shares_memory(first.instant_ns, again.instant_ns)
    assert np.shares_memory(first.query_id, again.query_id)
    assert entries(second) == [(2, 1)]


def test_an_empty_stream_gives_its_whole_buffer_back():
    pool = Pool(4)
    pool.give_back(departures(pool))
    instant, query = pool.take()
    assert instant.size == query.size == 4


def test_threads_can_share_a_pool():
    pool = Pool(8)

    def take_and_give_back(number: int) -> bool:
        for _ in range(500):
            stream = departures(pool, *[(number, number)] * 8)
            if entries(stream) != [(number, number)] * 8:
                return False
            pool.give_back(stream)
        return True

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(take_and_give_back, range(4)))
