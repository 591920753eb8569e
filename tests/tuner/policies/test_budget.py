"""What the published tuner would pay, and what may be spent beyond it."""

from __future__ import annotations

import numpy as np
import pytest

from tuner.policies.budget import budget_after, within_budget

S = 1_000_000_000
H = 3600 * S


def even(rate, start, end):
    return np.rint((start + np.arange(round((end - start) * rate)) / rate) * S).astype(np.int64)


@pytest.fixture
def after(situation, at, seen):
    """Return a function from replicas of `detect` by second to the budget then; 20/s arrive, as planned for."""

    def of(*replicas):
        budget = None
        for second, count in enumerate(replicas, start=60):
            here = at(second, detect=seen(arrival_ns=even(20, 0, second), replicas=count), read=seen(replicas=2))
            budget = budget_after(situation(), here, budget)
        return budget

    return of


def test_the_published_tuner_is_asked_what_it_would_do_with_its_own_counts(after):
    budget = after(1, 1, 1)
    assert budget.counts == {"detect": 4, "read": 2}  # as planned, whatever there is
    assert budget.saved == 2 * 3 * S * S  # two seconds of three replicas at 1 USD per hour


def test_what_is_spent_is_taken_from_the_savings(after):
    assert after(1, 1, 1, 9).saved == (3 + 3 - 5) * S * S
    assert after(9, 9).saved == -5 * S * S


def test_savings_are_bounded(after):
    assert after(*[1] * 2100).saved == 10 * S * 600 * S  # ten minutes of 4 x 1 and 2 x 3 USD per hour


def test_more_than_the_published_tuner_has_is_granted_when_the_savings_pay_for_it(situation, after):
    poor, rich = after(1, 1), after(*[1] * 600)
    wanted = {"detect": 8, "read": 2}
    assert within_budget(situation(), poor, wanted) == ({"detect": 4, "read": 2}, False)
    assert within_budget(situation(), rich, wanted) == (wanted, True)
    # As dear as the published tuner's, and not what it has: nothing has to be saved for that.
    assert within_budget(situation(), poor, {"detect": 7, "read": 1}) == ({"detect": 7, "read": 1}, False)
