"""The prediction cache: hits, those who wait, the clock, and what is forgotten."""

from __future__ import annotations

import hashlib
import tracemalloc

import pytest

from serving_adapter.core.cache import ENTRY_BYTES, Absent, Hit, PredictionCache, prediction_key

MODEL, OTHER = ("m", "1"), ("m", "2")
MISS, JOINED = Absent.MISS, Absent.JOINED


def key(name: str, model=MODEL):
    return prediction_key(model, name.encode())


def kept(cache: PredictionCache, names: str) -> str:
    """Return which of these are there; it sets their used bits, as any lookup."""
    there = []
    for name in names:
        if isinstance(cache.lookup(key(name), None), Hit):
            there.append(name)
        else:
            cache.abandon(key(name))
    return "".join(there)


def put(cache: PredictionCache, names: str, output: bytes = b"1234") -> None:
    for name in names:
        assert cache.lookup(key(name), name) is MISS
        assert cache.complete(key(name), output) == [name]


def test_the_first_asks_the_next_join_and_all_are_answered_in_order():
    cache = PredictionCache(100)
    assert [cache.lookup(key("a"), waiter) for waiter in "xyz"] == [MISS, JOINED, JOINED]
    assert cache.lookup(key("a", OTHER), "other version") is MISS
    assert cache.complete(key("a"), b"1.0") == ["x", "y", "z"]
    assert cache.lookup(key("a"), "late") == Hit(b"1.0")
    assert cache.complete(key("a"), b"2.0") == []
    assert cache.lookup(key("a"), "late") == Hit(b"1.0")
    assert (cache.lookups, cache.joins, cache.hits, cache.evictions, cache.bytes, len(cache)) == (6, 2, 2, 0, 3, 1)


def test_those_who_joined_an_abandoned_query_get_another_chance():
    cache = PredictionCache(100)
    cache.lookup(key("a"), "expires")
    cache.lookup(key("a"), "has time")
    assert cache.abandon(key("a")) == ["expires", "has time"]
    assert cache.abandon(key("a")) == []
    assert cache.lookup(key("a"), "has time") is MISS
    assert cache.complete(key("a"), b"1") == ["has time"]
    assert cache.abandon(key("a")) == []
    assert cache.lookup(key("a"), None) == Hit(b"1")


def test_an_answer_nobody_waits_for_is_not_kept():
    cache = PredictionCache(100)
    assert cache.complete(key("a"), b"1") == []
    cache.lookup(key("b"), "x")
    cache.abandon(key("b"))
    assert cache.complete(key("b"), b"1") == []
    assert (len(cache), cache.bytes) == (0, 0)


def test_capacity_zero_only_joins():
    cache = PredictionCache(0)
    for output in (b"1", b""):
        assert [cache.lookup(key("a"), waiter) for waiter in "xy"] == [MISS, JOINED]
        assert cache.complete(key("a"), output) == ["x", "y"]
    assert (len(cache), cache.bytes, cache.evictions) == (0, 0, 0)


def test_an_output_larger_than_the_whole_cache_is_handed_on_and_drives_nobody_out():
    cache = PredictionCache(8)
    put(cache, "ab")
    put(cache, "c", b"123456789")
    assert kept(cache, "abc") == "ab"
    put(cache, "d", b"12345678")
    assert kept(cache, "abd") == "d"


def test_the_hand_clears_bits_and_evicts_the_first_that_was_not_used_since():
    cache = PredictionCache(12)
    put(cache, "abc")  # all used since their creation
    put(cache, "d")  # the hand clears a, b, c and takes a
    assert cache.lookup(key("b"), None) == Hit(b"1234")
    put(cache, "e")  # b has been used again: c goes
    assert kept(cache, "abcde") == "bde"
    assert (cache.evictions, cache.bytes) == (2, 12)


def test_a_new_output_counts_as_used_and_an_old_one_that_was_hit_does_not_outlive_it():
    cache = PredictionCache(8)
    put(cache, "abc")  # for c the hand clears a and b and takes a
    assert cache.lookup(key("b"), None) == Hit(b"1234")
    put(cache, "d")  # b and c are used, one by the hit and one since it is new: the hand clears both and takes b
    assert kept(cache, "bcd") == "cd"


def test_outputs_on_their_way_are_not_evicted():
    cache = PredictionCache(8)
    cache.lookup(key("w"), "waits")
    put(cache, "abcdef")
    assert cache.complete(key("w"), b"1234") == ["waits"]
    assert cache.evictions == 5
    assert kept(cache, "w") == "w"


def test_a_forgotten_version_leaves_nothing_and_hands_over_who_waits():
    cache = PredictionCache(100)
    put(cache, "abc")
    cache.lookup(key("d"), "x")
    cache.lookup(key("d"), "y")
    cache.lookup(key("a", OTHER), "z")
    cache.complete(key("a", OTHER), b"12345")
    assert cache.forget(MODEL) == ["x", "y"]
    assert cache.forget(MODEL) == []
    assert (len(cache), cache.bytes) == (1, 5)
    assert cache.complete(key("d"), b"old") == []
    assert cache.lookup(key("d"), "w") is MISS
    assert kept(cache, "abc") == ""
    assert cache.lookup(key("a", OTHER), None) == Hit(b"12345")


def test_the_hand_passes_over_what_is_forgotten():
    cache = PredictionCache(20)
    put(cache, "a")
    for name in "bcd":
        cache.lookup(key(name, OTHER), None)
        cache.complete(key(name, OTHER), b"1234")
    assert cache.forget(MODEL) == []
    put(cache, "efg")  # e and f find room; for g the hand meets a, clears the bits of b to f and takes b
    assert (cache.bytes, len(cache), cache.evictions) == (20, 5, 1)
    assert kept(cache, "aefg") == "efg"


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 64, 5000])
def test_inputs_are_told_apart_even_from_each_others_digests(length):
    content = bytes(length)
    digest = hashlib.sha256(content).digest()
    others = [content + b"\0", digest, digest[:31], b"\1" + content[1:], hashlib.sha256(digest).digest()]
    keys = {prediction_key(MODEL, each) for each in [content, *others]}
    assert len(keys) == 6
    assert prediction_key(OTHER, content) not in keys


def test_counting_entries_bounds_the_memory_of_the_process():
    capacity = 300_000
    cache = PredictionCache(capacity, entry_bytes=ENTRY_BYTES)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(3000):
            content = b"%040d" % number
            cache.lookup(prediction_key(MODEL, content), None)
            cache.complete(prediction_key(MODEL, content), b"%03d" % (number % 1000))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert cache.evictions > 2000
    assert after - before < capacity


def test_negative_sizes_are_refused():
    with pytest.raises(ValueError, match="capacity -1 bytes, 0 an entry: expected at least 0"):
        PredictionCache(-1)
    with pytest.raises(ValueError, match="capacity 5 bytes, -2 an entry"):
        PredictionCache(5, entry_bytes=-2)
