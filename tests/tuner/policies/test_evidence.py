"""Traffic against the plan's envelope."""

from __future__ import annotations

import numpy as np
import pytest

from tuner.policies.evidence import exceeded

S = 1_000_000_000


def even(rate, start, end):
    return np.rint((start + np.arange(round((end - start) * rate)) / rate) * S).astype(np.int64)


def test_planned_traffic_is_within_its_envelope(situation):
    plan = situation().plan
    assert exceeded(plan, even(20, 0, 60), 0) is None


def test_the_fullest_window_says_by_how_much(situation):
    plan = situation().plan
    burst = np.sort(np.concatenate([even(20, 0, 60), np.full(6, 30 * S)]))
    # 10 arrivals in 160 ms, 4 planned: 62.5/s instead of 25/s.
    above = exceeded(plan, burst, 29 * S)
    assert (above.window_ns, above.measured, above.threshold) == (160_000_000, pytest.approx(62.5), pytest.approx(25))
    assert exceeded(plan, burst, 31 * S) is not None  # in windows of some seconds it still is one
    assert exceeded(plan, even(20, 0, 60), 60 * S) is None  # nothing has come since
