"""Arrivals are numbered; whoever asks from a number on gets all of them, or learns how many are lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serving_adapter.core.arrivals import ArrivalLog


@given(st.integers(1, 5), st.lists(st.one_of(st.just("read"), st.integers(0, 9)), max_size=60))
def test_readers_miss_nothing_that_is_kept(most, steps):
    log = ArrivalLog(most=most)
    came, read, following = [], [], 0
    for step in steps:
        if step == "read":
            first, instants = log.since(following)
            assert instants == came[first:]
            assert first == max(following, log.first)
            assert len(came) - log.first >= min(most, len(came))
            following = first + len(instants)
            read.append(following)
        else:
            came.append(step)
            log.add(step)
        assert log.count == len(came)
        assert len(came) - log.first < 2 * most
