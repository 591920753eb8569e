"""A schedule beside a naive model of it, whatever happens: nobody is lost, answered twice or overtaken."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from serving_adapter.core.batching import FixedBatch
from serving_adapter.core.queries import Pending
from serving_adapter.core.queueing import new_queue
from serving_adapter.core.scheduling import ModelSchedule

NEVER = 10**9


class Machine(RuleBasedStateMachine):
    """Queries are numbered in the order in which they are taken; ``where`` says what became of each."""

    order = "arrival"

    @initialize(
        expire=st.booleans(),
        most=st.sampled_from([None, 1, 4]),
        wait_ns=st.sampled_from([0, 0, 3]),
        attempts=st.integers(1, 4),
    )
    def start(self, expire, most, wait_ns, attempts):
        self.schedule = ModelSchedule(
            new_queue(self.order, expire=expire, most=most), wait_ns=wait_ns, attempts=attempts
        )
        self.drops = expire or self.order == "deadline"
        self.most, self.wait_ns, self.attempts = most or NEVER, wait_ns, attempts
        self.now = self.messages = self.replicas = 0
        self.queries: list[Pending] = []
        self.waiting: list[Pending] = []
        self.where: dict[Pending, str] = {}
        self.idle: list[int] = []
        self.size: dict[int, int] = {}
        self.busy: dict[int, tuple[int, list[Pending]]] = {}
        self.draining: set[int] = set()

    def key(self, query):
        deadline = NEVER if query.deadline_ns is None else query.deadline_ns
        return (deadline if self.order == "deadline" else 0, self.queries.index(query))

    def late(self, query):
        return self.drops and query.deadline_ns is not None and query.deadline_ns <= self.now

    def drop_late_at_the_head(self):
        gone = []
        while self.waiting and self.late(self.waiting[0]):
            gone.append(self.waiting.pop(0))
        return gone

    def settle(self, queries, what):
        for query in queries:
            assert self.where[query] == "open"
            self.where[query] = what

    @rule(ns=st.integers(1, 6))
    def time_passes(self, ns):
        self.now += ns

    @rule(left=st.none() | st.integers(1, 12))
    def offer(self, left):
        query = Pending(b"%d" % len(self.queries), self.now, None if left is None else self.now + left)
        full = len(self.waiting) >= self.most
        if full:
            self.settle(self.drop_late_at_the_head(), "late")
            full = len(self.waiting) >= self.most
        assert self.schedule.offer(query) is not full
        if not full:
            self.queries.append(query)
            self.waiting.append(query)
            self.waiting.sort(key=self.key)
            self.where[query] = "open"

    @rule()
    def dispatch(self):
        while True:
            expected = self.next_batch()
            dispatch = self.schedule.next_dispatch(self.now, self.messages)
            if expected is None:
                assert (dispatch, self.schedule.wake_at_ns) == (None, self.expected_wake_ns)
                break
            assert (dispatch.replica, dispatch.batch) == (self.idle.pop(0), expected)
            assert 0 < len(dispatch.batch) <= self.size[dispatch.replica]
            assert all(self.where[query] == "open" for query in dispatch.batch)
            self.busy[dispatch.replica] = (self.messages, expected)
            self.messages += 1

    def next_batch(self):
        """Return what is to be cut now, by the rules as they are told."""
        wake_at_ns, batch = None, None
        if self.idle and not self.schedule.paused:
            self.settle(self.drop_late_at_the_head(), "late")
            if self.waiting:
                last_try = 0 < self.waiting[0].attempts == self.attempts - 1
                most = 1 if last_try else self.size[self.idle[0]]
                due = min(query.arrived_ns for query in self.waiting) + self.wait_ns
                if len(self.waiting) >= most or due <= self.now or last_try:
                    batch = self.cut(min(most, len(self.waiting)))
                else:
                    wake_at_ns = due
        self.expected_wake_ns = wake_at_ns
        return batch

    def cut(self, size):
        batch = []
        while self.waiting and len(batch) < size:
            query = self.waiting.pop(0)
            if self.late(query):
                self.settle([query], "late")
            else:
                batch.append(query)
        return batch

    @rule(data=st.data())
    def answer(self, data):
        if self.busy:
            replica = data.draw(st.sampled_from(sorted(self.busy)))
            message_id, batch = self.busy.pop(replica)
            assert self.schedule.answered(replica, message_id + 1, self.now) is None
            assert self.schedule.answered(replica, message_id, self.now) == batch
            assert self.schedule.answered(replica, message_id, self.now) is None
            self.settle(batch, "answered")
            if replica in self.draining:
                self.forget(replica)
            else:
                self.idle.append(replica)

    @rule(size=st.integers(1, 5))
    def add(self, size):
        self.schedule.add(self.replicas, FixedBatch(size))
        self.size[self.replicas] = size
        self.idle.append(self.replicas)
        self.replicas += 1

    @rule(data=st.data())
    def die(self, data):
        if self.size:
            replica = data.draw(st.sampled_from(sorted(self.size)))
            batch = self.forget(replica)
            tries = {query: query.attempts for query in batch}
            lost = self.schedule.lost(replica, self.now)
            over = [
                query
                for query in batch
                if tries[query] + 1 >= self.attempts
                or (query.deadline_ns is not None and query.deadline_ns <= self.now)
            ]
            assert lost.failed == over
            assert lost.requeued == [query for query in batch if query not in over]
            assert all(query.attempts == tries[query] + 1 for query in batch)
            self.settle(over, "failed")
            self.waiting += lost.requeued
            self.waiting.sort(key=self.key)

    @rule(data=st.data())
    def remove(self, data):
        if self.size:
            replica = data.draw(st.sampled_from(sorted(self.size)))
            batch = self.forget(replica)
            assert self.schedule.remove(replica) == batch
            self.settle(batch, "removed")

    @rule(data=st.data())
    def drain(self, data):
        if self.size:
            replica = data.draw(st.sampled_from(sorted(self.size)))
            assert self.schedule.drain(replica) is (replica not in self.busy)
            if replica in self.busy:
                self.draining.add(replica)
            else:
                self.forget(replica)

    @rule()
    def pause_or_resume(self):
        self.schedule.paused = not self.schedule.paused

    def forget(self, replica):
        del self.size[replica]
        self.draining.discard(replica)
        if replica in self.idle:
            self.idle.remove(replica)
        return self.busy.pop(replica, (0, []))[1]

    @invariant()
    def everybody_is_in_one_place(self):
        late = self.schedule.take_late()
        assert all(self.where[query] == "late" for query in late)
        for query in late:
            self.where[query] = "late and told"
        assert "late" not in self.where.values()
        flying = [query for _, batch in self.busy.values() for query in batch]
        open_ = {query for query, what in self.where.items() if what == "open"}
        assert len(flying) + len(self.waiting) == len(open_)
        assert {*flying, *self.waiting} == open_
        assert (self.schedule.queued, self.schedule.idle) == (len(self.waiting), len(self.idle))
        assert sorted(self.schedule.replicas) == sorted(self.size)
        assert self.schedule.oldest_arrival_ns == min((query.arrived_ns for query in self.waiting), default=None)
        for replica in self.size:
            flight = self.schedule.in_flight(replica)
            assert (None if flight is None else (flight.message_id, flight.batch)) == self.busy.get(replica)


class MachineByDeadline(Machine):
    """The same with the earliest deadline first."""

    order = "deadline"


@pytest.mark.parametrize("machine", [Machine, MachineByDeadline])
def test_nobody_is_lost_answered_twice_or_overtaken(machine):
    case = machine.TestCase()
    case.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
    case.runTest()
