"""The cheapest counts that suffice, against trying all of them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.policies.search import Bounds, cheapest

works = st.fixed_dictionaries({name: st.integers(1, 40) for name in "abc"})
prices = st.fixed_dictionaries({name: st.integers(1, 9) for name in "abc"})
starts = st.fixed_dictionaries({name: st.integers(0, 14) for name in "abc"})


def late_of(work):
    """What is late falls with every replica more, at every stage by itself."""
    return lambda counts: sum(work[name] / counts[name] for name in work)


def bounds_of(price, least=1, most=12):
    return {name: Bounds(least=least, most=most, price=each) for name, each in price.items()}


@given(works, prices, starts)
def test_counts_suffice_where_any_do_and_no_single_one_can_be_spared(work, price, start):
    late, bounds = late_of(work), bounds_of(price)
    counts, share = cheapest(start, bounds, late, enough=20.0, spare=20.0, looks=1000)
    assert share == late(counts)
    assert all(1 <= count <= 12 for count in counts.values())
    if late(dict.fromkeys("abc", 12)) > 20.0:
        assert counts == dict.fromkeys("abc", 12)  # adding helps to the end
        return
    assert share <= 20.0
    for name, count in counts.items():
        assert count == 1 or late({**counts, name: count - 1}) > 20.0


@given(works, prices)
def test_from_the_bottom_the_cost_is_near_the_least(work, price):
    late = late_of(work)
    counts, share = cheapest(dict.fromkeys("abc", 1), bounds_of(price), late, enough=20.0, spare=20.0, looks=1000)

    def cost(each):
        return sum(price[name] * each[name] for name in each)

    able = (dict(zip("abc", each, strict=True)) for each in itertools.product(range(1, 13), repeat=3))
    least = min((cost(each) for each in able if late(each) <= 20.0), default=None)
    assert (share > 20.0) if least is None else (cost(counts) <= 2 * least)


def test_what_is_taken_away_leaves_more_room_than_what_is_added():
    late = late_of({"a": 10, "b": 10, "c": 1})
    bounds = bounds_of({"a": 1, "b": 1, "c": 1})
    kept, _ = cheapest({"a": 2, "b": 2, "c": 1}, bounds, late, enough=11.0, spare=6.0, looks=100)
    assert kept == {"a": 2, "b": 2, "c": 1}  # 11 is enough, but nothing more can go
    fewer, _ = cheapest({"a": 9, "b": 9, "c": 1}, bounds, late, enough=11.0, spare=6.0, looks=100)
    assert late(fewer) <= 6.0


def test_where_more_replicas_do_not_help_what_is_reached_stays():
    start, bounds = {"a": 3, "b": 3}, bounds_of({"a": 1, "b": 1})
    assert cheapest(start, bounds, lambda _: 9.0, enough=1.0, spare=0.5, looks=50) == (start, 9.0)


@pytest.mark.parametrize("looks", [4, 9])
def test_looks_are_few_and_the_next_tick_goes_on(looks):
    calls, late = [], late_of({"a": 40, "b": 40, "c": 40})
    bounds = bounds_of(dict.fromkeys("abc", 1))

    def counted(counts):
        calls.append(dict(counts))
        return late(counts)

    counts = dict.fromkeys("abc", 1)
    for _ in range(60):
        before = len(calls)
        counts, share = cheapest(counts, bounds, counted, enough=20.0, spare=12.0, looks=looks)
        assert len(calls) - before <= looks + 3  # a step is looked at in full
    assert share <= 20.0
