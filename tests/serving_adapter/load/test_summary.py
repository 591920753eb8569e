"""A run in a few figures, from records that are written down."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferline.units import NANO
from serving_adapter.load import LoadResult, Outcome, Records, summarise, summary_document

MS = 1_000_000
OK, TIMEOUT, STATUS, UNSENT, UNFINISHED = (
    Outcome.OK, Outcome.TIMEOUT, Outcome.STATUS, Outcome.UNSENT, Outcome.UNFINISHED,
)  # fmt: skip


def ran(*queries, duration_ns=NANO, **changes):
    """Return a run of queries (intended, sent, done, outcome, status), in milliseconds; -1 for what was not."""
    columns = list(zip(*queries, strict=True)) or [()] * 5
    times = [np.array([each * MS if each >= 0 else -1 for each in column], dtype=np.int64) for column in columns[:3]]
    records = Records(
        intended_ns=times[0],
        sent_ns=times[1],
        done_ns=times[2],
        outcome=np.array(columns[3], dtype=np.int8),
        status=np.array(columns[4], dtype=np.int16),
        default=np.zeros(len(queries), dtype=np.bool_),
    )
    run = LoadResult(
        url="http://h/x",
        closed_loop=False,
        records=records,
        duration_ns=duration_ns,
        lag_bound_ns=None,
        processes=1,
        connections=256,
        opened=1,
        most_open=1,
        closed_by_server=0,
        resent=0,
        crowded=0,
        cpu_s=0.1,
        wall_s=1.0,
        excerpt="",
        interrupted=False,
    )
    return replace(run, **changes)


def answered(intended, latency, lag=0):
    return (intended, intended + lag, intended + latency, OK, 200)


def test_latency_counts_from_the_intended_instant():
    summary = summarise(ran(answered(0, 10), answered(100, 30, lag=20)))
    assert (summary.latency.p50_ns, summary.latency.max_ns) == (10 * MS, 30 * MS)
    assert (summary.send_error.p50_ns, summary.send_error.max_ns) == (0, 20 * MS)


def test_a_failed_query_is_slower_than_any_answered_one():
    summary = summarise(ran(answered(0, 10), answered(1, 20), answered(2, 900), (3, 3, 4, STATUS, 503)))
    assert summary.latency.p50_ns == 20 * MS
    assert summary.latency.p90_ns is None
    assert summary.latency.max_ns == 900 * MS
    assert (summary.ok, summary.errors) == (3, {"http 503": 1})


@given(st.lists(st.tuples(st.integers(0, 1000), st.booleans()), min_size=1, max_size=300))
def test_percentiles_are_nearest_ranks_over_all_queries(latencies):
    queries = [(0, 0, latency, OK, 200) if ok else (0, 0, latency, TIMEOUT, 0) for latency, ok in latencies]
    found = summarise(ran(*queries)).latency
    ordered = sorted(latency if ok else 10**9 for latency, ok in latencies)
    for percentile, time_ns in ((50, found.p50_ns), (90, found.p90_ns), (95, found.p95_ns), (99, found.p99_ns)):
        expected = ordered[ceil(percentile * len(ordered) / 100) - 1]
        assert time_ns == (None if expected == 10**9 else expected * MS)


def test_attainment_is_the_share_of_all_queries():
    queries = [answered(0, 10), answered(1, 300), answered(2, 301), (3, 3, 5003, TIMEOUT, 0)]
    run = ran(*queries)
    assert summarise(run, slo_ns=300 * MS).attainment == 0.5
    run.records.default[0] = True
    assert summarise(run, slo_ns=300 * MS).attainment == 0.25
    assert summarise(run).attainment is None


def test_errors_come_by_kind_the_most_frequent_first():
    queries = [(0, 0, 1, STATUS, 404), (0, 0, 1, STATUS, 503), (0, 0, 1, STATUS, 503), *[(0, 0, 9, TIMEOUT, 0)] * 3]
    assert list(summarise(ran(*queries)).errors.items()) == [("timeout", 3), ("http 503", 2), ("http 404", 1)]


def test_a_run_in_time_counts():
    summary = summarise(ran(*(answered(10 * each, 30, lag=1) for each in range(100))))
    assert (summary.asked_qps, summary.achieved_qps, summary.throughput_qps) == (100.0, 100.0, 98.0)
    assert summary.why == ""


@pytest.mark.parametrize(
    ("latency", "lag", "counts"),
    [(5, 2, True), (5, 3, False), (50, 5, True), (50, 6, False), (900, 10, True), (900, 11, False)],
)
def test_a_late_generator_does_not_count(latency, lag, counts):
    # A tenth of the P99 latency, but at least 2 ms and at most 10 ms.
    run = ran(*(answered(each, latency, lag=lag) for each in range(200)))
    summary = summarise(run)
    assert (summary.why == "") is counts
    if not counts:
        assert f"the P99 of the send error is {lag} ms, above" in summary.why
        assert summarise(replace(run, lag_bound_ns=20 * MS)).why == ""
        assert summarise(replace(run, lag_bound_ns=20 * MS)).send_error.bound_ns == 20 * MS


def test_a_rate_that_was_not_reached_does_not_count():
    # The last 2 of 100 queries went out 100 ms after the second was over: few enough for the P99, not for the rate.
    queries = [answered(10 * each, 20) for each in range(98)]
    queries += [(980, 1100, 1120, OK, 200), (990, -1, 5990, UNSENT, 0)]
    summary = summarise(ran(*queries, lag_bound_ns=20 * MS))
    assert (summary.asked_qps, summary.achieved_qps) == (100.0, 98.0)
    assert "98 queries/s were sent of 100 asked for" in summary.why
    assert summary.send_error.max_ns == 5000 * MS


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"cpu_s": 0.9, "crowded": 5}, "give it more processes"),
        ({"cpu_s": 0.9, "processes": 2}, "something else had the CPU, of which the generator used 45%"),
        ({"crowded": 5}, "5 queries found all of 256 connections in use"),
        ({}, "something else had the CPU, of which the generator used 10%"),
    ],
)
def test_what_to_do_about_it(changes, remedy):
    assert remedy in summarise(ran(*(answered(each, 60, lag=50) for each in range(10)), **changes)).why


def test_what_an_interrupt_cut_off_is_counted_apart():
    summary = summarise(ran(answered(0, 10), (5, 5, -1, UNFINISHED, 0), interrupted=True), slo_ns=NANO)
    assert (summary.queries, summary.ok, summary.unfinished, summary.errors) == (2, 1, 1, {})
    assert (summary.latency.p99_ns, summary.attainment) == (10 * MS, 1.0)


def test_a_run_without_any_query():
    run = ran(duration_ns=0, interrupted=True)
    summary = summarise(run, slo_ns=NANO)
    assert (summary.queries, summary.send_error, summary.attainment) == (0, None, None)
    assert summary.why == "no query was answered"
    assert summary_document(run, summary)["counts"] is False


def test_the_document_is_in_seconds():
    run = ran(answered(0, 10), answered(500, 20), excerpt="HTTP 400: no")
    document = summary_document(run, summarise(run, slo_ns=15 * MS))
    assert document["latency"] == {"p50_s": 0.01, "p90_s": 0.02, "p95_s": 0.02, "p99_s": 0.02, "max_s": 0.02}
    assert document["send_error"] == {"p50_s": 0.0, "p99_s": 0.0, "max_s": 0.0, "bound_s": 0.002}
    assert document["slo"] == {"latency_s": 0.015, "attainment": 0.5}
    assert (document["counts"], document["why"], document["loop"]) == (True, "", "open")
    assert document["generator"] == {"processes": 1, "cpu_s": 0.1, "wall_s": 1.0, "cpu_share": 0.1}
    assert document["first_failure"] == "HTTP 400: no"
