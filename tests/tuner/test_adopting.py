"""The controller while stages are moved to another plan, and once that is in force."""

from __future__ import annotations

from dataclasses import replace

import pytest

S = 1_000_000_000


@pytest.fixture
def played(play, two_stages, monkeypatch):
    """Return a controller with a set of moving stages, and a reason why what is deployed is not to be scaled."""
    at = play(two_stages(), settle_ns=0)
    at.moving, at.unfit = frozenset(), ""
    seen = at.seen
    monkeypatch.setattr(at, "seen", lambda: replace(seen(), moving=at.moving, unfit=at.unfit))
    at.ticks(2)
    at.log.clear()
    at.asked.clear()
    return at


def test_a_stage_that_is_moved_is_left_alone_and_nothing_goes_down(played):
    played.moving = frozenset({"read"})
    played.tick({"read": 5, "detect": 1})
    played.requested["read"] = 4  # whoever moves it
    played.ticks(2)
    assert (played.log, played.asked) == ([], [])
    played.tick({"read": 5, "detect": 4})
    assert [change.stage for _, change in played.asked] == ["detect"]
    played.serve()
    played.moving = frozenset()
    played.ticks(2)
    assert "operator" not in " ".join(words for _, words in played.log)
    assert [(each.stage, each.before, each.after) for _, each in played.asked][1:] == [("read", 4, 5)]


def test_another_plan_begins_anew_and_the_end_of_its_deployment_is_nobody_elses_change(played):
    played.tick({"detect": 5})
    played.rules = replace(played.rules, settle_ns=10 * S)
    played.state = played.state.adopting(played.rules, round(played.now_s * S))
    played.requested["detect"] = 6
    played.tick({"detect": 6})
    assert played.policy.notes[-1] == 1
    played.requested["detect"] = 2  # as planned
    played.tick({"detect": 2})
    assert "operator" not in " ".join(words for _, words in played.log)
    played.requested["detect"] = 3
    played.tick()
    assert played.log[-1][1] == "operator detect 2->3"


def test_what_does_not_fit_is_not_scaled_and_said_once(played):
    played.unfit = "other stages"
    played.tick({"read": 5})
    played.ticks(2)
    assert (played.log, played.asked) == ([(3.0, "unfit")], [])
    played.unfit = ""
    played.tick()
    assert [words for _, words in played.log[1:]] == ["fits_again", "scale read 2->5"]
