"""What is kept of the queries, and what a sample of them is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.observed import Observed
from tuner.protocols import ArrivalsSeen, StageArrivals

S = 1_000_000_000


def looks(pipeline, times_s, at_s, *, source="one", read_s=()):
    """Return what is seen at an instant of queries at these."""

    def stage(of_s):
        return StageArrivals(
            arrival_ns=np.array([round(each * S) for each in of_s if at_s - 120 < each <= at_s], dtype=np.int64),
            queued=0,
            in_service=0,
            ready=1,
            utilisation=0.0,
        )

    stages = {"detect": stage(times_s), "read": stage(read_s)}
    return ArrivalsSeen(source=source, now_ns=round(at_s * S), age_ns=0, stages=stages)


@pytest.fixture
def pipeline(two_stages):
    return two_stages().pipeline


def test_every_query_is_kept_once_however_often_it_is_told_of(pipeline):
    kept = Observed(pipeline, 600 * S)
    times = [1, 2.5, 4, 6, 7, 11, 12]
    for at in range(15):
        kept.take(looks(pipeline, times, at, read_s=[6.5, 12]))
    sample = kept.sample(0)
    assert (sample.arrival_ns / S).tolist() == [1, 2.5, 4, 6, 7]
    assert (sample.duration_ns, sample.visits) == (10 * S, {"detect": 5, "read": 1})
    kept.take(looks(pipeline, times, 14, read_s=[6.5, 12]), at_once=True)
    assert kept.sample(0).visits == {"detect": 7, "read": 2}
    # Stretches that had begun before are not of the time since then.
    assert (kept.sample(1).arrival_ns / S).tolist() == [1, 2, 6, 7]
    assert kept.sample(12 * S) is None


def test_after_a_gap_and_with_another_process_it_begins_anew(pipeline):
    kept = Observed(pipeline, 600 * S)
    times = list(range(400))
    for at in range(0, 21, 5):
        kept.take(looks(pipeline, times, at))
    assert len(kept) == 20
    kept.take(looks(pipeline, times, 141))
    assert kept.sample(0) is None
    kept.take(looks(pipeline, times, 151))
    assert len(kept) == 10
    kept.take(looks(pipeline, times, 152, source="two"))
    assert kept.sample(0) is None
    kept.take(looks(pipeline, times, 140, source="two"))  # its clock went back
    kept.take(looks(pipeline, times, 146, source="two"))
    assert (kept.sample(0).arrival_ns / S).tolist() == [1, 2, 3, 4, 5, 6]


@given(st.lists(st.integers(0, 40), min_size=20, max_size=60), st.integers(5, 60), st.integers(1, 100))
def test_there_is_a_bound_to_what_is_kept(counts, keep_s, most):
    # One stage is enough: the first entry's.
    class Entry:
        name, is_entry = "detect", True

    class Pipeline:
        stages = (Entry,)

    kept = Observed(Pipeline, keep_s * S, most)
    times = [second + (number + 1) / 41 for second, count in enumerate(counts) for number in range(count)]
    for at in range(len(counts) + 1):
        kept.take(looks(Pipeline, times, at))
        newest = sum(counts[max(0, at - at % 5 - 5) : at - at % 5])
        assert len(kept) <= max(most, newest)
        assert len(kept) <= sum(counts[max(0, at - at % 5 - keep_s - 5) : at])
