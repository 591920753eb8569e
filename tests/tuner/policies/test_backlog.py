"""Draining what has piled up."""

from __future__ import annotations

from tuner.policies.backlog import asked_after, draining, starting_ns

S = 1_000_000_000
RATES = {"detect": 30.0, "read": 15.0}
SHARES = {("detect", "read"): 0.5}


def test_a_short_queue_is_no_backlog(situation, at, seen):
    # One replica serves 10/s: 2.5 queries in half of the SLO.
    observation = at(10, detect=seen(queued=9, replicas=4))
    assert draining(situation(), observation, {}, RATES, SHARES, 3.0) == {"detect": 0, "read": 0}


def test_what_waits_and_what_comes_until_replicas_serve_is_drained_in_time(situation, at, seen):
    # 60 - 1 * 2.5 wait, 150 come in 5 s, 50 are served: 157.5 in 3 s are 52.5/s beside the 30/s that go on coming.
    observation = at(10, detect=seen(queued=60, replicas=1))
    counts = draining(situation(), observation, {}, RATES, SHARES, 3.0)
    assert counts["detect"] == 9
    # Half of what drains comes on to read, 33.3/s a replica: 15 + 26.25.
    assert counts["read"] == 2


def test_replicas_that_start_are_counted_from_when_they_serve(situation, at, seen):
    observation = at(10, detect=seen(queued=60, requested=6, ready=1))
    none, some = ({}, {"detect": ((7 * S, 5),)})
    # Asked for at 7, five more serve from 12 on: 150 queries until 15.
    assert starting_ns(situation(), observation, some)["detect"] == (12 * S,) * 5
    assert draining(situation(), observation, none, RATES, SHARES, 3.0)["detect"] == 9
    assert draining(situation(), observation, some, RATES, SHARES, 3.0)["detect"] == 6


def test_nothing_is_taken_away_while_it_drains(situation, at, seen):
    observation = at(10, detect=seen(queued=60, replicas=12))
    assert draining(situation(), observation, {}, RATES, SHARES, 3.0)["detect"] == 12


def test_what_was_asked_for_is_remembered_until_it_serves(situation, at, seen):
    asked = asked_after(situation(), at(10, detect=seen(requested=4)), {}, {"detect": 7, "read": 1})
    assert asked == {"detect": ((10 * S, 3),), "read": ()}
    asked = asked_after(situation(), at(12, detect=seen(requested=7)), asked, {"detect": 8, "read": 1})
    assert asked["detect"] == ((10 * S, 3), (12 * S, 1))
    asked = asked_after(situation(), at(15, detect=seen(requested=8)), asked, {"detect": 8, "read": 1})
    assert asked["detect"] == ((12 * S, 1),)


def test_of_those_that_start_the_last_asked_for_still_do(situation, at, seen):
    asked = {"detect": ((8 * S, 2), (9 * S, 3))}
    observation = at(10, detect=seen(requested=8, ready=4))
    assert starting_ns(situation(), observation, asked)["detect"] == (13 * S, 14 * S, 14 * S, 14 * S)
    unknown = at(10, detect=seen(requested=8, ready=6))
    assert starting_ns(situation(), unknown, {})["detect"] == (15 * S, 15 * S)
