"""The plan's counts."""

from __future__ import annotations

from tuner.policies.static import static


def test_it_keeps_what_was_planned(situation, at, seen):
    decision, note = static(situation(), at(0, detect=seen(replicas=9), read=seen(replicas=2)), None)
    assert decision.replicas == {"detect": 4, "read": 2}
    assert list(decision.reasons) == ["detect"]
    assert note is None
