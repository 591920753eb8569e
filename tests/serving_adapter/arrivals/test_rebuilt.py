"""Arrivals rebuilt from scrapes, against the ones that were scraped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferline.calculus import max_arrivals
from serving_adapter.arrivals.rebuilt import rebuilt

WINDOWS_NS = (5, 10, 20, 40, 80, 160)
SPAN_NS = 100

ARRIVALS = st.lists(st.integers(1, 1000), max_size=200).map(sorted)


def scraped(arrivals):
    """Return scrapes every 100 ns from 0 to 1000, what came between them, and the envelope."""
    at_ns = list(range(0, 1001, SPAN_NS))
    counts = np.histogram(arrivals, bins=np.array(at_ns) + 1)[0].tolist()
    instants = np.array(arrivals, dtype=np.int64)
    return at_ns, counts, [max_arrivals(instants, window_ns) for window_ns in WINDOWS_NS]


@given(ARRIVALS)
def test_as_many_arrivals_none_in_the_future_and_no_short_burst_is_lost(arrivals):
    at_ns, counts, most = scraped(arrivals)
    found = rebuilt(at_ns, counts, WINDOWS_NS, most)
    assert found.size == len(arrivals) == sum(counts)
    assert np.all(np.diff(found) >= 0)
    assert not found.size or (found[0] >= 0 and found[-1] <= 1000)
    for window_ns, count in zip(WINDOWS_NS, most, strict=True):
        if window_ns <= SPAN_NS:
            assert max_arrivals(found, window_ns) >= count


@given(ARRIVALS)
def test_no_span_gets_more_than_came_in_it_and_its_neighbours(arrivals):
    at_ns, counts, most = scraped(arrivals)
    found = rebuilt(at_ns, counts, WINDOWS_NS, most)
    now = np.histogram(found, bins=np.array(at_ns) + 1)[0].tolist()
    for place, count in enumerate(now):
        assert count <= sum(counts[max(0, place - 1) : place + 2])


@pytest.mark.parametrize(("counts", "expected"), [([], []), ([0, 0], []), ([1], [10]), ([4], [5, 10, 10, 10])])
def test_a_few(counts, expected):
    at_ns = [0, 10, 20][: len(counts) + 1]
    assert rebuilt(at_ns, counts, [5, 20], [3, 4]).tolist() == expected
