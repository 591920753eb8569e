"""One model version as timelines: offers, batches, answers, and replicas that come, die and leave."""

from __future__ import annotations

import pytest

from serving_adapter.core.batching import FixedBatch
from serving_adapter.core.queries import Pending
from serving_adapter.core.queueing import new_queue
from serving_adapter.core.scheduling import ModelSchedule


class Timeline:
    """A schedule that is told what happens and writes down, with the time, what it decides."""

    def __init__(self, *, order="arrival", expire=False, most=None, **options) -> None:
        self.schedule = ModelSchedule(new_queue(order, expire=expire, most=most), **options)
        self.log: list[tuple[int, str]] = []
        self.messages = 0

    def offer(self, now_ns: int, names: str, deadline_ns: int | None = None) -> None:
        for name in names.split():
            if not self.schedule.offer(Pending(name.encode(), now_ns, deadline_ns)):
                self.log.append((now_ns, f"refuse {name}"))
        self.dispatch(now_ns)

    def dispatch(self, now_ns: int) -> None:
        while dispatch := self.schedule.next_dispatch(now_ns, self.messages):
            copies = "" if dispatch.pad_to is None else f" filled to {dispatch.pad_to}"
            self.note(now_ns, f"{dispatch.replica} takes", dispatch.batch, copies)
            assert dispatch.message_id == self.messages
            self.messages += 1
        if self.schedule.wake_at_ns is not None:
            self.log.append((now_ns, f"wake at {self.schedule.wake_at_ns}"))
        self.note(now_ns, "late", self.schedule.take_late())

    def answer(self, now_ns: int, replica: int) -> None:
        message_id = self.schedule.in_flight(replica).message_id
        self.note(now_ns, f"{replica} answers", self.schedule.answered(replica, message_id, now_ns))
        self.dispatch(now_ns)

    def die(self, now_ns: int, replica: int) -> None:
        lost = self.schedule.lost(replica, now_ns)
        self.note(now_ns, f"{replica} dies, again", lost.requeued)
        self.note(now_ns, f"{replica} dies, failed", lost.failed)
        self.dispatch(now_ns)

    def note(self, now_ns: int, what: str, batch: list[Pending], more: str = "") -> None:
        if batch:
            self.log.append((now_ns, " ".join([what, *(each.input.decode() for each in batch)]) + more))


def timeline(*sizes: int, **options) -> Timeline:
    """Return a timeline with one replica for each maximum batch size."""
    line = Timeline(**options)
    for replica, size in enumerate(sizes):
        line.schedule.add(replica, FixedBatch(size))
    return line


def test_a_free_replica_takes_what_is_there_up_to_its_maximum():
    line = timeline(3)
    line.offer(0, "a")
    line.offer(5, "b")
    line.offer(6, "c d e")
    line.answer(10, 0)
    line.answer(20, 0)
    line.answer(30, 0)
    assert line.log == [
        (0, "0 takes a"),
        (10, "0 answers a"),
        (10, "0 takes b c d"),
        (20, "0 answers b c d"),
        (20, "0 takes e"),
        (30, "0 answers e"),
    ]


def test_the_replica_that_is_free_for_longest_is_next_and_each_has_its_own_maximum():
    line = timeline(1, 2, 3)
    line.offer(0, "a b c d e f g")
    line.answer(10, 2)
    line.answer(11, 0)
    line.answer(12, 1)
    line.answer(13, 2)
    line.offer(20, "h i")
    assert line.log == [
        (0, "0 takes a"),
        (0, "1 takes b c"),
        (0, "2 takes d e f"),
        (10, "2 answers d e f"),
        (10, "2 takes g"),
        (11, "0 answers a"),
        (12, "1 answers b c"),
        (13, "2 answers g"),
        (20, "0 takes h"),
        (20, "1 takes i"),
    ]


def test_batches_of_the_default_order_are_those_of_the_simulator():
    """The golden timeline of the simulator: arrivals at 0, 5, 15, 18, 19 and a service time of 10."""
    line = timeline(3)
    line.offer(0, "0")
    line.offer(5, "1")
    line.answer(10, 0)
    line.offer(15, "2")
    line.offer(18, "3")
    line.offer(19, "4")
    line.answer(20, 0)
    takes = [(at, what) for at, what in line.log if "takes" in what]
    assert takes == [(0, "0 takes 0"), (10, "0 takes 1"), (20, "0 takes 2 3 4")]


def test_a_batch_that_is_not_full_waits_for_others_until_its_oldest_query_has_waited_enough():
    line = timeline(3, wait_ns=10)
    line.offer(0, "a")
    line.offer(4, "b")
    line.dispatch(9)
    line.dispatch(10)
    line.offer(20, "c d e")
    line.answer(30, 0)
    line.offer(31, "f")
    line.offer(35, "g")
    line.answer(42, 0)
    assert line.log == [
        (0, "wake at 10"),
        (4, "wake at 10"),
        (9, "wake at 10"),
        (10, "0 takes a b"),
        (30, "0 answers a b"),
        (30, "0 takes c d e"),
        (42, "0 answers c d e"),
        (42, "0 takes f g"),
    ]


def test_by_deadline_the_late_are_dropped_before_a_batch_is_cut():
    line = timeline(2, order="deadline")
    line.offer(0, "a", 100)
    line.offer(1, "b", 30)
    line.offer(2, "c", 90)
    line.offer(3, "d", 40)
    line.offer(4, "e", 20)
    line.answer(30, 0)
    line.answer(60, 0)
    assert line.log == [
        (0, "0 takes a"),
        (30, "0 answers a"),
        (30, "0 takes d c"),
        (30, "late e b"),
        (60, "0 answers d c"),
    ]


def test_who_is_late_makes_room_for_who_is_not():
    line = timeline(1, most=2, expire=True)
    line.offer(0, "a b c", 50)
    line.offer(1, "d", 50)
    line.offer(50, "e f g", 90)
    line.answer(60, 0)
    assert line.log == [
        (0, "refuse c"),
        (0, "0 takes a"),
        (50, "refuse g"),
        (50, "late b d"),
        (60, "0 answers a"),
        (60, "0 takes e"),
    ]


def test_the_batch_of_a_dead_replica_comes_first_again_while_deadlines_allow():
    line = timeline(2, 2)
    line.offer(0, "a", 30)
    line.offer(1, "b", 90)
    line.offer(2, "c", 25)
    line.offer(3, "d e f", 90)
    line.die(10, 1)
    line.die(11, 1)
    line.answer(26, 0)
    line.die(27, 0)
    line.schedule.add(2, FixedBatch(9))
    line.dispatch(28)
    assert line.log == [
        (0, "0 takes a"),
        (1, "1 takes b"),
        (10, "1 dies, again b"),
        (26, "0 answers a"),
        (26, "0 takes b c"),
        (27, "0 dies, again b"),
        (27, "0 dies, failed c"),
        (28, "2 takes b"),
    ]


def test_a_poisonous_input_takes_down_three_replicas_and_nobody_with_it():
    line = timeline(4, 4, 4, 4)
    line.schedule.paused = True
    line.offer(0, "a POISON c d")
    line.schedule.paused = False
    line.dispatch(1)
    line.die(2, 0)
    line.die(3, 1)
    line.answer(10, 2)
    line.die(11, 3)
    line.answer(12, 2)
    assert line.log == [
        (1, "0 takes a POISON c d"),
        (2, "0 dies, again a POISON c d"),
        (2, "1 takes a POISON c d"),
        (3, "1 dies, again a POISON c d"),
        (3, "2 takes a"),
        (3, "3 takes POISON"),
        (10, "2 answers a"),
        (10, "2 takes c"),
        (11, "3 dies, failed POISON"),
        (12, "2 answers c"),
        (12, "2 takes d"),
    ]


def test_a_replica_that_drains_finishes_its_batch_and_leaves():
    line = timeline(1, 1)
    assert line.schedule.drain(1)
    line.offer(0, "a b")
    assert not line.schedule.drain(0)
    assert line.schedule.replicas == (0,)
    line.answer(10, 0)
    assert line.schedule.replicas == ()
    line.schedule.add(2, FixedBatch(1))
    line.dispatch(20)
    assert line.schedule.drain(7)
    assert line.log == [(0, "0 takes a"), (10, "0 answers a"), (20, "2 takes b")]


def test_what_a_draining_replica_was_at_is_not_lost_with_it():
    line = timeline(1, 1)
    line.offer(0, "a")
    line.schedule.drain(0)
    line.die(5, 0)
    assert line.log == [(0, "0 takes a"), (5, "0 dies, again a"), (5, "1 takes a")]


def test_a_removed_replica_hands_over_its_batch_and_its_answer_is_ignored():
    line = timeline(1)
    line.offer(0, "a b")
    message_id = line.schedule.in_flight(0).message_id
    assert [each.input for each in line.schedule.remove(0)] == [b"a"]
    assert line.schedule.answered(0, message_id, 5) is None
    assert (line.schedule.remove(0), line.schedule.queued) == ([], 1)
    assert [each.input for each in line.schedule.clear()] == [b"b"]
    assert line.schedule.queued == 0


def test_an_answer_that_is_not_owed_changes_nothing():
    line = timeline(1, 1)
    line.offer(0, "a")
    for replica, message_id in ((0, 1), (1, 0), (9, 0)):
        assert line.schedule.answered(replica, message_id, 5) is None
    line.answer(10, 0)
    assert line.schedule.answered(0, 0, 11) is None
    assert (line.schedule.idle, line.schedule.in_flight(0)) == (2, None)


def test_nothing_leaves_while_paused_and_offers_are_taken():
    line = timeline(2)
    line.offer(0, "a")
    line.schedule.paused = True
    line.offer(1, "b")
    line.answer(2, 0)
    assert (line.schedule.queued, line.schedule.oldest_arrival_ns) == (1, 1)
    line.schedule.paused = False
    line.dispatch(9)
    assert line.log == [(0, "0 takes a"), (2, "0 answers a"), (9, "0 takes b")]


class Exploring:
    """A policy that wants batches of 4 filled up, and writes down what it is asked and told."""

    fills = True

    def __init__(self) -> None:
        self.log: list[tuple[str, int, int | None]] = []

    def max_batch(self, now_ns, head_deadline_ns):
        self.log.append(("asked", now_ns, head_deadline_ns))
        return 4

    def observe(self, batch_size, latency_ns):
        self.log.append(("told", batch_size, latency_ns))


def test_the_policy_is_asked_with_the_first_deadline_and_told_the_size_that_was_sent():
    policy = Exploring()
    line = Timeline(order="deadline")
    line.schedule.add(0, policy)
    line.schedule.paused = True
    line.offer(0, "a", 90)
    line.offer(1, "b", 50)
    line.schedule.paused = False
    line.dispatch(2)
    assert line.schedule.in_flight(0).size == 4
    line.answer(12, 0)
    line.offer(13, "c d e f g")
    line.schedule.set_policy(0, FixedBatch(9))
    line.answer(33, 0)
    assert line.log == [
        (2, "0 takes b a filled to 4"),
        (12, "0 answers b a"),
        (13, "0 takes c d e f"),
        (33, "0 answers c d e f"),
        (33, "0 takes g"),
    ]
    assert policy.log == [("asked", 2, 50), ("told", 4, 10), ("asked", 13, None)]


def test_the_late_can_be_swept_while_no_replica_is_free():
    line = timeline(1, order="deadline")
    line.offer(0, "a b", 20)
    line.schedule.expire(20)
    assert [each.input for each in line.schedule.take_late()] == [b"b"]
    assert (line.schedule.take_late(), line.schedule.queued) == ([], 0)


def test_a_replica_is_added_once_and_impossible_parameters_are_refused():
    line = timeline(1)
    with pytest.raises(ValueError, match="replica 0 is there already"):
        line.schedule.add(0, FixedBatch(1))
    with pytest.raises(KeyError):
        line.schedule.set_policy(5, FixedBatch(1))
    with pytest.raises(ValueError, match="wait -1 ns, 3 attempts"):
        ModelSchedule(new_queue(), wait_ns=-1)
    with pytest.raises(ValueError, match="wait 0 ns, 0 attempts"):
        ModelSchedule(new_queue(), attempts=0)
