"""Queues: who is next, who is dropped, and where those go that are put back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_adapter.core.queries import Pending
from serving_adapter.core.queueing import new_queue


def query(name: str, arrived_ns: int = 0, deadline_ns: int | None = None) -> Pending:
    return Pending(name.encode(), arrived_ns, deadline_ns)


def filled(queue, *queries: Pending):
    for each in queries:
        assert queue.offer(each)
    return queue


def names(batch) -> str:
    return " ".join(each.input.decode() for each in batch)


def test_by_arrival_the_first_to_come_is_the_first_to_go_whatever_the_deadlines():
    queue = filled(new_queue(), query("a", 0, 90), query("b", 1, 20), query("c", 2))
    assert (queue.head(50).input, queue.oldest_arrival_ns, len(queue)) == (b"a", 0, 3)
    assert names(queue.cut(2, 50)) == "a b"
    assert names(queue.cut(1, 50)) == "c"
    assert queue.late == []
    assert (queue.head(50), queue.oldest_arrival_ns, len(queue)) == (None, None, 0)


def test_by_deadline_the_most_urgent_goes_first_then_by_arrival_and_last_who_has_no_deadline():
    queue = filled(
        new_queue("deadline"), query("a", 0), query("b", 1, 90), query("c", 2, 20), query("d", 3, 90), query("e", 4)
    )
    assert (queue.head(0).input, queue.oldest_arrival_ns) == (b"c", 0)
    assert names(queue.cut(5, 0)) == "c b d a e"


def test_the_oldest_arrival_is_found_however_long_it_stays_behind():
    queue = filled(new_queue("deadline"), query("patient", 5))
    for number in range(1000):
        filled(queue, query(str(number), 10 + number, 5000))
        assert queue.cut(1, 0)[0].input == str(number).encode()
        assert queue.oldest_arrival_ns == 5


@pytest.mark.parametrize("order", ["arrival", "deadline"])
def test_a_query_is_late_from_the_instant_of_its_deadline(order):
    queue = filled(new_queue(order, expire=True), query("a", 0, 20), query("b", 1, 21))
    assert queue.head(19).input == b"a"
    assert queue.head(20).input == b"b"
    assert names(queue.late) == "a"


def test_by_arrival_the_late_are_served_too_unless_they_are_to_be_dropped():
    assert names(filled(new_queue(), query("a", 0, 20)).cut(1, 99)) == "a"
    queue = filled(new_queue(expire=True), query("a", 0, 90), query("b", 1, 20), query("c", 2, 90), query("d", 3, 90))
    assert names(queue.cut(2, 50)) == "a c"
    assert names(queue.late) == "b"
    assert names(queue.cut(5, 50)) == "d"


@pytest.mark.parametrize("order", ["arrival", "deadline"])
def test_a_full_queue_takes_nobody_but_those_it_had_taken_before(order):
    queue = filled(new_queue(order, most=2), query("a"), query("b"))
    assert not queue.offer(query("c"))
    batch = queue.cut(2, 0)
    filled(queue, query("d"), query("e"))
    queue.requeue(batch)
    assert len(queue) == 4
    assert not queue.offer(query("f"))
    assert names(queue.cut(4, 0)) == "a b d e"


@pytest.mark.parametrize("order", ["arrival", "deadline"])
def test_batches_put_back_in_any_order_restore_the_order_of_arrival(order):
    queue = filled(new_queue(order), *(query(name, at) for at, name in enumerate("abcdef")))
    first, second = queue.cut(2, 0), queue.cut(2, 0)
    queue.requeue(first)
    queue.requeue([])
    queue.requeue(second)
    assert queue.oldest_arrival_ns == 0
    assert names(queue.clear()) == "a b c d e f"
    assert (len(queue), queue.oldest_arrival_ns) == (0, None)


@given(st.lists(st.one_of(st.none(), st.integers(0, 20)), max_size=20), st.data())
def test_by_deadline_any_mix_of_cuts_and_requeues_keeps_both_orders(deadlines, data):
    queue = new_queue("deadline")
    waiting = [query(str(at), at, deadline) for at, deadline in enumerate(deadlines)]
    filled(queue, *waiting)
    out: list[list[Pending]] = []
    left = waiting
    for _ in range(data.draw(st.integers(0, 6))):
        if out and data.draw(st.booleans()):
            queue.requeue(out.pop(data.draw(st.integers(0, len(out) - 1))))
        else:
            out.append(queue.cut(data.draw(st.integers(0, 5)), -1))
        gone = {each for batch in out for each in batch}
        left = [each for each in waiting if each not in gone]
        assert queue.oldest_arrival_ns == min((each.arrived_ns for each in left), default=None)
        assert len(queue) == len(left)
    assert queue.clear() == sorted(left, key=lambda each: 99 if each.deadline_ns is None else each.deadline_ns)


def test_an_unknown_order_and_a_queue_for_nobody_are_refused():
    with pytest.raises(ValueError, match="order 'random': expected one of arrival, deadline"):
        new_queue("random")
    with pytest.raises(ValueError, match="at least 1 query, not 0"):
        new_queue(most=0)
