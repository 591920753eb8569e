"""What a serving core counts, read back from the text that it shows."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferline.errors import OutsideError
from serving_adapter.deployment.looks import Attainment, PipelineLook, VersionLook, attainment, look_at, read_look
from serving_adapter.frontend.metrics import LATENCY_BOUNDS_S, Metrics

KEY = ("small.read", "1")
ACCEPT = "text/plain;version=0.0.4"


def look_of(metrics):
    return read_look(metrics.prometheus(ACCEPT)[0].decode())


def test_what_is_counted_is_read_back():
    metrics = Metrics(gauges=lambda: {KEY: (7, 3, 1), ("other", "1"): (0, 0, 0)})
    metrics.batch_answered(KEY, 4, 500_000_000, [1000] * 4)
    metrics.batch_answered(KEY, 2, 250_000_000, [1000] * 2)
    metrics.predicted("small", 10_000_000, default=False)
    metrics.predicted("small", 20_000_000_000, default=True)
    seen = look_of(metrics)
    assert seen.versions[KEY] == VersionLook(queued=7, replicas=3, idle=1, answered=6, busy_s=0.75)
    assert seen.versions["other", "1"] == VersionLook()
    assert (seen.pipelines["small"].queries, seen.pipelines["small"].defaults) == (2, 1)
    assert (seen.is_quiet(["other"]), seen.is_quiet(["small.read"])) == (True, False)


def test_a_core_that_has_served_nothing():
    seen = look_of(Metrics())
    assert (seen.versions, seen.pipelines) == ({}, {})
    assert attainment(PipelineLook(), 0.1) is None


def test_between_two_looks():
    before = PipelineLook(within={0.1: 10, math.inf: 12}, defaults=1)
    now = PipelineLook(within={0.1: 15, math.inf: 20}, defaults=1)
    assert now.since(before) == PipelineLook(within={0.1: 5, math.inf: 8}, defaults=0)
    assert now.since(PipelineLook()) == now
    assert before.since(now) == before  # the core was started again: it counts from nothing


@pytest.mark.parametrize(
    ("latency_s", "least", "most"),
    [(0.05, 0.0, 0.6), (0.1, 0.6, 0.6), (0.15, 0.6, 0.9), (0.2, 0.9, 0.9), (5.0, 0.9, 1.0)],
)
def test_the_bounds_of_the_histogram_make_an_interval(latency_s, least, most):
    seen = PipelineLook(within={0.1: 60, 0.2: 90, math.inf: 100})
    assert attainment(seen, latency_s) == Attainment(queries=100, least=least, most=most)


@given(
    st.lists(st.tuples(st.integers(0, 30_000_000_000), st.booleans()), min_size=1, max_size=40),
    st.floats(0.0001, 20, exclude_min=True),
)
def test_the_true_share_is_within_it(queries, latency_s):
    metrics = Metrics()
    for latency_ns, default in queries:
        metrics.predicted("small", latency_ns, default=default)
    in_time = sum(latency_ns / 1e9 <= latency_s and not default for latency_ns, default in queries)
    seen = attainment(look_of(metrics).pipelines["small"], latency_s)
    assert seen.queries == len(queries)
    assert seen.least <= in_time / len(queries) <= seen.most
    if latency_s in LATENCY_BOUNDS_S and not any(default for _, default in queries):
        assert seen.least == seen.most


def test_nobody_there_is_an_answer():
    with pytest.raises(OutsideError, match=r"GET http://127\.0\.0\.1:9/metrics: .*is a serving core there\?"):
        look_at("http://127.0.0.1:9")


def test_what_is_no_metrics_is_said():
    with pytest.raises(ValueError, match=r"."):
        read_look("<html>\n")
