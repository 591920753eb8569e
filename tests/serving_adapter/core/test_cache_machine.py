"""The cache beside a naive model of it: a list with a hand that walks over it, as the paper tells it."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from serving_adapter.core.cache import Absent, Hit, PredictionCache, prediction_key

VERSIONS = st.sampled_from([("m", "1"), ("m", "2")])
KEYS = st.builds(prediction_key, VERSIONS, st.sampled_from([b"a", b"b", b"c", b"d" * 99]))


class Machine(RuleBasedStateMachine):
    """``ring`` holds [key, output, used] in the order of the clock; ``hand`` is the place looked at next."""

    @initialize(capacity=st.sampled_from([0, 1, 5, 10, 20]), entry_bytes=st.sampled_from([0, 2]))
    def start(self, capacity, entry_bytes):
        self.cache = PredictionCache(capacity, entry_bytes=entry_bytes)
        self.capacity, self.entry_bytes = capacity, entry_bytes
        self.ring: list[list] = []
        self.hand = 0
        self.waiting: dict[tuple, list[int]] = {}
        self.waiters = 0
        self.counts = {"lookups": 0, "hits": 0, "joins": 0, "evictions": 0}

    def size(self, output):
        return max(1, len(output)) + self.entry_bytes

    def used_bytes(self):
        return sum(self.size(output) for _, output, _ in self.ring)

    def remove(self, place):
        del self.ring[place]
        if place < self.hand:
            self.hand -= 1

    @rule(key=KEYS)
    def lookup(self, key):
        self.waiters += 1
        self.counts["lookups"] += 1
        found = self.cache.lookup(key, self.waiters)
        entry = next((entry for entry in self.ring if entry[0] == key), None)
        if entry is not None:
            assert found == Hit(entry[1])
            entry[2] = True
            self.counts["hits"] += 1
        elif key in self.waiting:
            assert found is Absent.JOINED
            self.waiting[key].append(self.waiters)
            self.counts["joins"] += 1
        else:
            assert found is Absent.MISS
            self.waiting[key] = [self.waiters]

    @rule(key=KEYS, output=st.binary(min_size=1, max_size=3))
    def ask_and_keep(self, key, output):
        self.lookup(key)
        self.complete(key, output)

    @rule(key=KEYS, output=st.binary(max_size=12))
    def complete(self, key, output):
        waiters = self.waiting.pop(key, None)
        assert self.cache.complete(key, output) == (waiters or [])
        if waiters is None or self.size(output) > self.capacity:
            return
        while self.used_bytes() + self.size(output) > self.capacity:
            self.hand %= len(self.ring)
            if self.ring[self.hand][2]:
                self.ring[self.hand][2] = False
                self.hand += 1
            else:
                del self.ring[self.hand]
                self.counts["evictions"] += 1
        self.ring.insert(self.hand, [key, output, True])
        self.hand += 1

    @rule(key=KEYS)
    def abandon(self, key):
        assert self.cache.abandon(key) == self.waiting.pop(key, [])

    @rule(version=VERSIONS)
    def forget(self, version):
        gone = [key for key in self.waiting if key[0] == version]
        assert sorted(self.cache.forget(version)) == sorted(waiter for key in gone for waiter in self.waiting[key])
        for key in gone:
            del self.waiting[key]
        for place in reversed(range(len(self.ring))):
            if self.ring[place][0][0] == version:
                self.remove(place)

    @invariant()
    def the_books_agree(self):
        assert self.cache.bytes == self.used_bytes() <= self.capacity
        assert len(self.cache) == len(self.ring)
        assert {name: getattr(self.cache, name) for name in self.counts} == self.counts


def test_the_cache_is_the_clock_that_the_paper_tells():
    case = Machine.TestCase()
    case.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
    case.runTest()
