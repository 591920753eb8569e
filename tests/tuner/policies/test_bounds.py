"""Constants by name, and counts within what stages and hardware allow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inferline.errors import InputError
from tuner.policies.bounds import arrived, constants, decide, within_bounds
from tuner.situation import Reason


@dataclass(frozen=True, kw_only=True)
class Constants:
    share: float = 0.5
    wait_s: float = 15.0


def test_an_option_replaces_its_default():
    assert constants(Constants, {"wait_s": 3}) == Constants(share=0.5, wait_s=3)


def test_every_wrong_option_is_named():
    with pytest.raises(InputError) as caught:
        constants(Constants, {"wait": 3, "share": -0.1, "wait_s": "5"})
    assert str(caught.value).splitlines() == [
        "options.wait: no such option; share, wait_s is accepted",
        "options.share: -0.1 is not a number of 0 or more",
        "options.wait_s: '5' is not a number of 0 or more",
    ]


def test_stage_bounds_hold(situation):
    assert within_bounds(situation(least=2, most=5), {"detect": 1, "read": 9}) == {"detect": 2, "read": 5}


def test_a_short_supply_is_shared_by_what_is_wanted(situation):
    assert within_bounds(situation(limit=9), {"detect": 12, "read": 6}) == {"detect": 6, "read": 3}
    assert within_bounds(situation(limit=9), {"detect": 7, "read": 2}) == {"detect": 7, "read": 2}


def test_minima_are_granted_whatever_the_limit(situation):
    assert within_bounds(situation(limit=3, least=2), {"detect": 8, "read": 2}) == {"detect": 2, "read": 2}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it makes values, and keeps none
@given(st.integers(0, 60), st.integers(0, 60), st.integers(2, 40))
def test_a_limit_is_used_up_but_not_exceeded(situation, detect, read, limit):
    def bounded(wanted):
        return min(max(wanted, 1), 30)

    counts = within_bounds(situation(limit=limit), {"detect": detect, "read": read})
    assert sum(counts.values()) == min(limit, bounded(detect) + bounded(read))
    assert all(1 <= counts[name] <= bounded(wanted) for name, wanted in (("detect", detect), ("read", read)))


def test_only_changes_have_reasons(situation, at, seen):
    why = {"detect": Reason(rule="one"), "read": Reason(rule="other")}
    decision = decide(situation(), at(0, detect=seen(replicas=3)), {"detect": 3, "read": 2}, why)
    assert (decision.replicas, decision.reasons) == ({"detect": 3, "read": 2}, {"read": Reason(rule="other")})


def test_a_window_is_open_at_its_beginning():
    arrivals = np.array([5, 10, 10, 15])
    assert [arrived(arrivals, 15, window) for window in (1, 5, 6, 10, 11)] == [1, 1, 3, 3, 4]
