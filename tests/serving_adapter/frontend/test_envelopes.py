"""The envelope that scrapers are told, against the exact one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inferline.calculus import max_arrivals
from serving_adapter.frontend.envelopes import ENVELOPE_SPAN_NS, ENVELOPE_WINDOWS_NS, envelope

MS = 1_000_000
NOW_NS = 1000 * ENVELOPE_SPAN_NS


@given(st.lists(st.one_of(st.integers(0, 70_000), st.integers(0, 200)), max_size=80))
def test_never_too_few_and_hardly_too_many(ago_ms):
    instants = np.sort(NOW_NS - np.array(ago_ms, dtype=np.int64) * MS)
    recent = instants[instants > NOW_NS - ENVELOPE_SPAN_NS]
    told = envelope(instants, NOW_NS)
    for window_ns, most in zip(ENVELOPE_WINDOWS_NS, told, strict=True):
        assert max_arrivals(recent, window_ns) <= most <= max_arrivals(recent, window_ns + 4 * MS)


def test_what_comes_after_now_does_not_count():
    assert set(envelope([NOW_NS + 1], NOW_NS)) == {0}
    assert set(envelope([], NOW_NS)) == {0}
