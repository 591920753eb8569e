"""The serving core as timelines: queries, batches, answers, deadlines, and what goes wrong. Times in microseconds."""

from __future__ import annotations

import pytest

from serving_adapter.core.endpoints import QueryRefusedError


def test_a_query_a_batch_an_answer(serving):
    s = serving(batch=2)
    s.at(0, s.ask, "a b c")
    s.at(10, s.answer)
    s.at(25, s.answer)
    assert s.log == [
        (0, "m:1/0 takes a b"),
        (10, "m:1/0 takes c"),
        (10, "a = A"),
        (10, "b = B"),
        (25, "c = C"),
    ]
    assert s.sizes == [(2, 10, [0, 0]), (1, 15, [10])]
    assert [prediction.query_id for _, prediction in s.replies] == [0, 1, 2]
    assert (s.core.in_flight, s.clock.set) == (0, [])


def test_the_default_comes_at_the_deadline_and_the_late_answer_fills_the_cache(serving):
    s = serving(slo=100)
    s.at(0, s.ask, "a")
    s.at(30, s.ask, "b")
    s.at(120, s.answer)
    s.at(125, s.ask, "a")
    assert s.log == [
        (0, "m:1/0 takes a"),
        (100, "a = none, late"),
        (120, "m:1/0 takes b"),
        (125, "a = A"),
    ]
    s.clock.run(200)
    assert s.log[4:] == [(130, "b = none, late")]


def test_identical_queries_are_asked_once_and_each_has_its_own_deadline(serving):
    s = serving(slo=100)
    s.at(0, s.ask, "a a")
    s.at(50, s.ask, "a")
    s.at(110, s.answer)
    s.at(111, s.ask, "a")
    assert s.log == [
        (0, "m:1/0 takes a"),
        (100, "a = none, late"),
        (100, "a = none, late"),
        (110, "a = A"),
        (111, "a = A"),
    ]
    assert s.models.cache_use() == {("m", "1"): (1, 4)}


def test_a_full_cache_of_nothing_still_joins(serving):
    s = serving(cache_bytes=0)
    s.at(0, s.ask, "a a")
    s.at(10, s.answer)
    s.at(20, s.ask, "a")
    assert s.log == [(0, "m:1/0 takes a"), (10, "a = A"), (10, "a = A"), (20, "m:1/0 takes a")]


def test_nobody_to_ask_is_said_at_once(serving):
    s = serving(replicas=0)
    s.app("unlinked", "x")
    s.at(5, s.ask, "a")
    s.at(6, s.ask, "a", app="unlinked")
    s.at(7, s.ask, "")
    assert s.log == [(5, "a = none, no models"), (6, "a = none, no models"), (7, " = none, no models")]


def test_what_nobody_could_be_asked_is_asked_when_somebody_is_there(serving):
    s = serving(replicas=0)
    s.at(0, s.ask, "a")
    s.at(5, s.replica)
    s.at(10, s.ask, "a")
    assert s.log == [(0, "a = none, no models"), (10, "m:1/0 takes a")]


def test_an_input_without_bytes_is_left_to_its_deadline(serving):
    s = serving(slo=100, batch=2)
    s.at(0, s.ask, "")
    s.at(0, s.ask, "a")
    s.at(10, s.answer)
    s.clock.run(100)
    assert s.log == [(0, "m:1/0 takes a"), (10, "a = A"), (100, " = none, late")]


def test_a_hit_needs_no_replica(serving):
    s = serving()
    s.at(0, s.ask, "a")
    s.at(10, s.answer)
    s.at(20, s.die)
    s.at(30, s.ask, "a b")
    assert s.log[2:] == [(30, "a = A"), (30, "b = none, no models")]


def test_the_batch_of_a_lost_replica_goes_to_another_in_its_old_place(serving):
    s = serving(replicas=2, batch=2)
    s.at(0, s.ask, "a b c d e")
    s.at(10, s.die, "m:1/0")
    s.at(20, s.answer, "m:1/1")
    s.at(30, s.answer, "m:1/1")
    assert s.log == [
        (0, "m:1/0 takes a b"),
        (0, "m:1/1 takes c d"),
        (20, "m:1/1 takes a b"),
        (20, "c = C"),
        (20, "d = D"),
        (30, "m:1/1 takes e"),
        (30, "a = A"),
        (30, "b = B"),
    ]


def test_without_a_replica_left_those_in_flight_and_in_the_queue_default_at_once(serving):
    s = serving()
    s.at(0, s.ask, "a b a")
    s.at(10, s.die)
    assert s.log == [
        (0, "m:1/0 takes a"),
        (10, "a = none, no models"),
        (10, "a = none, no models"),
        (10, "b = none, no models"),
    ]
    assert (s.core.in_flight, s.clock.set) == (0, [])


def test_a_poisonous_input_takes_three_replicas_and_no_more(serving):
    s = serving(replicas=5, batch=3, slo=1000)
    s.at(0, s.ask, "a poison b")
    s.at(1, s.ask, "poison")
    for when, replica in ((10, "m:1/0"), (20, "m:1/1")):
        s.at(when, s.die, replica)
    s.at(25, s.answer, "m:1/2")
    s.at(30, s.die, "m:1/3")
    s.at(35, s.answer, "m:1/4")
    assert s.log == [
        (0, "m:1/0 takes a poison b"),
        (10, "m:1/1 takes a poison b"),
        (20, "m:1/2 takes a"),  # those on their last attempt go alone
        (20, "m:1/3 takes poison"),
        (20, "m:1/4 takes b"),
        (25, "a = A"),
        (30, "m:1 drops 1, lost"),
        (35, "b = B"),
    ]
    s.clock.run(2000)
    assert s.log[8:] == [(1000, "poison = none, late"), (1001, "poison = none, late")]


def test_who_joined_a_query_that_was_given_up_is_asked_for_again(serving):
    s = serving(replicas=2, slo=50)
    s.app("patient", slo=500)
    s.at(0, s.ask, "a")
    s.at(10, s.ask, "a", app="patient")
    s.at(60, s.die, "m:1/0")
    s.at(80, s.answer, "m:1/1")
    assert s.log == [
        (0, "m:1/0 takes a"),
        (50, "a = none, late"),
        (60, "m:1 drops 1, lost"),
        (60, "m:1/1 takes a"),
        (80, "a = A"),
    ]


def test_a_wrong_number_of_outputs_ends_the_replica_and_its_batch_goes_on(serving):
    s = serving(replicas=2, batch=2)
    s.at(0, s.ask, "a b")
    s.at(10, s.answer, "m:1/0", "A")
    s.at(20, s.answer, "m:1/1")
    assert s.log == [
        (0, "m:1/0 takes a b"),
        (10, "m:1/0 forgotten"),
        (10, "m:1/1 takes a b"),
        (20, "a = A"),
        (20, "b = B"),
    ]


def test_answers_that_nobody_asked_for_change_nothing(serving):
    s = serving(replicas=2)
    s.at(0, s.ask, "a")
    for identity, message in ((b"m:1/0", 7), (b"m:1/1", 0), (b"stranger", 0)):
        s.at(5, s.models.answered, identity, message, [b"wrong"])
    s.at(10, s.answer)
    s.at(11, s.models.answered, b"m:1/0", 0, [b"again"])
    s.at(12, s.ask, "a")
    assert s.log == [(0, "m:1/0 takes a"), (10, "a = A"), (12, "a = A")]


def test_message_ids_begin_anew_after_the_last(serving):
    s = serving(replicas=3)
    s.models._next_message = 2**32 - 1
    s.at(0, s.ask, "a b c")
    assert [s.sent[f"m:1/{number}".encode()][0] for number in range(3)] == [2**32 - 1, 0, 1]
    for replica in ("m:1/0", "m:1/1", "m:1/2"):
        s.at(10, s.answer, replica)
    assert s.log[3:] == [(10, "a = A"), (10, "b = B"), (10, "c = C")]


@pytest.mark.parametrize(
    ("app", "version", "text"),
    [
        ("app", "3", "Requested version: 3 does not exist for model: m"),
        ("two", "1", "Too many models linked to application two"),
        ("odd", None, "No selection state found for query with user_id: 0 and label: odd"),
    ],
)
def test_what_is_refused(serving, app, version, text):
    s = serving()
    s.app("two", "m", "n", policy="Exp4")
    s.app("odd", policy="Unheard")
    with pytest.raises(QueryRefusedError, match=text):
        s.core.check(s.apps[app], version)
    s.core.check(s.apps["app"], "1")


def test_a_batch_waits_to_fill_up_to_the_limit(serving):
    s = serving(batch=3, wait_ns=20_000)
    s.at(0, s.ask, "a")
    s.at(15, s.ask, "b")
    s.at(25, s.answer)
    s.at(30, s.ask, "c d")
    s.at(35, s.ask, "e f")
    s.at(40, s.answer)
    s.at(80, s.answer)
    assert s.log == [
        (20, "m:1/0 takes a b"),
        (25, "a = A"),
        (25, "b = B"),
        (35, "m:1/0 takes c d e"),  # full: it need not wait
        (40, "c = C"),
        (40, "d = D"),
        (40, "e = E"),
        (55, "m:1/0 takes f"),
        (80, "f = F"),
    ]
    assert s.clock.set == []


def test_a_batch_that_fills_calls_nobody_when_its_version_is_deleted(serving):
    s = serving(batch=3, wait_ns=20_000)
    s.at(0, s.ask, "a")
    assert (20, "_dispatch") in s.clock.set
    s.at(10, s.delete, "m:1")
    assert (s.log, s.clock.set) == ([(10, "a = none, no models")], [])


def test_by_deadline_the_urgent_go_first_and_the_late_do_not_go(serving):
    s = serving(order="deadline", slo=1000)
    s.app("urgent", slo=50)
    s.at(0, s.ask, "a b")
    s.at(5, s.ask, "c d", app="urgent")
    s.at(30, s.answer)
    s.at(60, s.answer)
    assert s.log == [
        (0, "m:1/0 takes a"),
        (30, "m:1/0 takes c"),
        (30, "a = A"),
        (55, "c = none, late"),
        (55, "d = none, late"),
        (60, "m:1/0 takes b"),
        (60, "m:1 drops 1, late"),
    ]


def test_who_joined_a_late_query_in_the_queue_is_asked_for_again(serving):
    s = serving(order="deadline", slo=50)
    s.app("patient", slo=500)
    s.at(0, s.ask, "a b")
    s.at(10, s.ask, "b", app="patient")
    s.at(60, s.answer)
    s.at(70, s.answer)
    assert s.log == [
        (0, "m:1/0 takes a"),
        (50, "a = none, late"),
        (50, "b = none, late"),
        (60, "m:1 drops 1, late"),
        (60, "m:1/0 takes b"),
        (70, "b = B"),
    ]


def test_by_arrival_a_fixed_batch_takes_the_late_too_and_one_that_is_found_out_does_not(serving):
    logs = []
    for batch in (1, -1):
        s = serving(batch=batch, slo=50)
        s.at(0, s.ask, "a b")
        s.at(60, s.answer)
        logs.append(s.log[3:])
    assert logs == [[(60, "m:1/0 takes b")], [(60, "m:1 drops 1, late")]]


def test_a_full_queue_has_no_room_until_the_late_have_left(serving):
    s = serving(order="deadline", slo=50, most_queued=2)
    s.at(0, s.ask, "a")
    s.at(0, s.ask, "b c")
    app = s.apps["app"]
    assert not s.at(10, s.core.has_room, app, None, 1)
    assert not s.at(10, s.core.has_room, app, "1", 1)
    s.at(20, s.ask, "d")
    assert s.at(60, s.core.has_room, app, None, 2)
    assert s.log == [
        (0, "m:1/0 takes a"),
        (10, "m:1 drops 1, full"),
        (10, "m:1 drops 1, full"),
        (20, "m:1 drops 1, full"),
        (20, "d = none, no models"),
        (50, "a = none, late"),
        (50, "b = none, late"),
        (50, "c = none, late"),
        (60, "m:1 drops 2, late"),
    ]
