"""Pairs of phases, alone and together."""

from __future__ import annotations

import pytest

from profiler.colocation import Pairs
from profiler.results import Limits

LIMITS = Limits(precision=0.02, budget_s=5.0)


@pytest.mark.parametrize(
    ("alone_s", "together_s", "spent_s", "enough"),
    [
        ([1.0] * 2, [1.5] * 2, 60.0, False),  # three pairs whatever they take
        ([1.0] * 3, [1.5] * 3, 60.0, True),
        ([1.0] * 4, [1.5] * 4, 1.0, False),
        ([1.0] * 5, [1.5] * 5, 1.0, True),
        ([1.0] * 5, [1.5, 1.4, 1.6, 1.5, 1.5], 1.0, False),
        # The machine got slower and slower: it cancels out pair by pair.
        ([1.0, 1.2, 1.4, 1.6, 1.8], [2.0, 2.4, 2.8, 3.2, 3.6], 1.0, True),
    ],
)
def test_pairs_are_enough_when_their_ratio_is_known(alone_s, together_s, spent_s, enough):
    assert Pairs(alone_s, together_s, spent_s).enough(LIMITS) is enough


def test_the_slowdown_is_the_ratio_of_the_means():
    assert Pairs([1.0, 3.0], [3.0, 5.0], 1.0).slowdown() == 2.0
