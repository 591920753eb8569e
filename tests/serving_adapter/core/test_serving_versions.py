"""Versions of a model as timelines: they come, change, and go while queries are under way. Times in microseconds."""

from __future__ import annotations


def test_versions_switch_roll_back_and_are_pinned(serving):
    s = serving()
    s.replica("m:2", 0)
    assert not s.replica("m:2", 0)  # not registered yet
    s.version("m:2")
    assert s.replica("m:2", 0)
    s.at(0, s.ask, "a")
    s.at(0, s.ask, "b", version="1")
    s.current["m"] = "1"
    s.configure()
    s.at(10, s.answer, "m:2/0")
    s.at(10, s.answer, "m:1/0")
    s.at(20, s.ask, "a")  # what another version has said is not an answer
    assert s.log == [
        (0, "m:2/0 takes a"),
        (0, "m:1/0 takes b"),
        (10, "a = A"),
        (10, "b = B"),
        (20, "m:1/0 takes a"),
    ]


def test_a_version_that_is_deleted_in_flight_answers_no_more(serving):
    s = serving()
    s.at(0, s.ask, "a b")
    assert s.at(10, s.delete, "m:1") == ["m:1/0"]
    s.at(20, s.answer)  # nobody listens to it
    s.at(30, s.version, "m:1")
    s.at(30, s.replica, "m:1", 1)
    s.at(31, s.ask, "a")
    assert s.log == [
        (0, "m:1/0 takes a"),
        (10, "b = none, no models"),
        (10, "a = none, no models"),
        (31, "m:1/1 takes a"),
    ]


def test_what_a_deleted_version_has_said_is_forgotten(serving):
    s = serving()
    s.at(0, s.ask, "a")
    s.at(10, s.answer)
    s.delete("m:1")
    s.version("m:1")
    s.replica("m:1", 1)
    s.at(20, s.ask, "a")
    assert s.log[2:] == [(20, "m:1/1 takes a")]


def test_another_input_type_makes_it_another_version(serving):
    s = serving()
    s.at(0, s.ask, "a")
    assert s.at(10, s.version, "m:1", input_type="strings") == ["m:1/0"]
    assert s.log[1:] == [(10, "a = none, no models")]


def test_what_is_put_back_into_another_queue_comes_before_all_others(serving):
    s = serving(slo=1000, replicas=2)
    s.at(0, s.ask, "a b c d")
    s.at(10, s.version, "m:1", batch=1, wait_ns=0, most_queued=2)
    s.at(20, s.ask, "e")  # two wait already
    s.at(30, s.die, "m:1/1")
    for when in (40, 50, 60, 70):
        s.at(when, s.answer)
    assert s.log == [
        (0, "m:1/0 takes a"),
        (0, "m:1/1 takes b"),
        (20, "m:1 drops 1, full"),
        (20, "e = none, no models"),
        (40, "m:1/0 takes b"),
        (40, "a = A"),
        (50, "m:1/0 takes c"),
        (50, "b = B"),
        (60, "m:1/0 takes d"),
        (60, "c = C"),
        (70, "d = D"),
    ]


def test_a_version_may_be_served_in_another_way_while_queries_wait(serving):
    s = serving(slo=1000)
    s.app("urgent", slo=500)
    s.at(0, s.ask, "a b c")
    s.at(5, s.ask, "d", app="urgent")
    s.at(10, s.version, "m:1", batch=2, order="deadline")
    s.at(20, s.answer)
    s.at(25, s.version, "m:1", batch=1)
    s.at(30, s.die)
    s.at(30, s.replica, "m:1", 1)
    assert s.log == [
        (0, "m:1/0 takes a"),
        (20, "m:1/0 takes d b"),
        (20, "a = A"),
        (30, "b = none, no models"),
        (30, "d = none, no models"),
        (30, "c = none, no models"),
    ]
