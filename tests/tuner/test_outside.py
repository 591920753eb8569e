"""Calls to the outside: one at a time, and one that hangs stops nobody."""

from __future__ import annotations

from threading import Event

import pytest

from inferline.errors import OutsideError
from tuner.outside import Outside


@pytest.fixture
def gate():
    """Return what calls hang on until the end of the test."""
    gate = Event()
    yield gate
    gate.set()


def test_an_answer_is_told_once():
    outside = Outside("asking", 5)
    assert outside.answer() is None
    assert outside.ask(lambda: 7)
    answer = outside.answer(5)
    assert (answer.value, answer.failure) == (7, "")
    assert answer.begun_ns <= answer.ended_ns
    assert (outside.answer(), outside.is_busy) == (None, False)


def test_failures_are_answers():
    def refuse():
        raise OutsideError("no such cluster")

    outside = Outside("asking", 5)
    outside.ask(refuse)
    assert outside.answer(5).failure == "no such cluster"
    outside.ask(lambda: {}["key"])
    assert outside.answer(5).failure == "KeyError: 'key'"


def test_one_thing_at_a_time(gate):
    outside = Outside("asking", 5)
    assert outside.ask(gate.wait)
    assert (outside.ask(gate.wait), outside.is_busy, outside.answer()) == (False, True, None)
    gate.set()
    assert outside.answer(5).value is True


def test_a_call_that_hangs_is_given_up_and_the_next_is_made(gate):
    outside = Outside("asking", 0.05, most_hanging=2)
    for _ in range(2):
        assert outside.ask(gate.wait)
        assert outside.answer(5).failure == "asking: no answer within 50 ms"
    assert not outside.ask(gate.wait)
    gate.set()
    while not outside.ask(lambda: 7):
        pass
    assert outside.answer(5).value == 7
