"""From a trace to what is planned from: scaling, spreading, cutting, and the limits of each."""

from __future__ import annotations

import numpy as np
import pytest

from inferline.domain import Trace
from inferline.domain.arrivals import PerSecondCounts
from inferline.files import Workload
from inferline.files.pipeline_file.workload import Generate, generated, prepared

FILES = {"file": "pipeline.yaml", "source_file": "trace.csv"}
SECOND = 10**9


def arrivals(*seconds: float) -> Trace:
    ns = np.array([round(each * SECOND) for each in seconds])
    return Trace(ns, int(ns[-1]) + 1)


def counts(*requests: int) -> PerSecondCounts:
    return PerSecondCounts(np.array(requests))


def test_arrival_times_are_divided():
    trace = prepared(arrivals(0, 1, 4), Workload(scale=2.0), **FILES)
    assert trace.arrival_ns.tolist() == [0, SECOND // 2, 2 * SECOND]


def test_counts_are_multiplied_and_rounded_half_to_even():
    trace = prepared(counts(1, 3, 5, 0), Workload(scale=0.5), **FILES)
    assert np.bincount(trace.arrival_ns // SECOND).tolist() == [0, 2, 2]
    assert trace.duration_ns == 4 * SECOND


def test_peak_is_a_factor_over_the_busiest_second():
    trace = prepared(counts(10, 40, 20), Workload(peak=100.0), **FILES)
    assert np.bincount(trace.arrival_ns // SECOND).tolist() == [25, 100, 50]
    trace = prepared(arrivals(0, 0.25, 0.5, 3), Workload(peak=6.0), **FILES)
    assert trace.arrival_ns.tolist() == [0, SECOND // 8, SECOND // 4, 3 * SECOND // 2]


def test_the_whole_trace_is_scaled_before_it_is_cut():
    # The busiest second lies outside the sample and still decides the factor.
    workload = Workload(peak=100.0, sample=0.5)
    trace = prepared(counts(10, 20, 5, 200), workload, **FILES)
    assert np.bincount(trace.arrival_ns // SECOND).tolist() == [5, 10]
    assert trace.duration_ns == 2 * SECOND
    whole = prepared(counts(10, 20, 5, 200), workload, **FILES, whole=True)
    assert whole.duration_ns == 4 * SECOND
    assert whole.arrival_ns[: len(trace)].tolist() == trace.arrival_ns.tolist()


def test_how_queries_are_spread():
    even = prepared(counts(2, 4), Workload(spread="even"), **FILES)
    assert even.arrival_ns.tolist() == [each * SECOND // 8 for each in (2, 6, 9, 11, 13, 15)]
    one, same, other = (
        prepared(counts(9, 9), Workload(seed=seed), **FILES).arrival_ns.tolist() for seed in (1, 1, 2)
    )
    assert one == same != other


def test_generated_arrivals():
    process = Generate(arrivals="even", duration_ns=2 * SECOND, seed=0, parameters={"rate": 2.0})
    assert generated(process, "pipeline.yaml").arrival_ns.tolist() == [0, SECOND // 2, SECOND, 3 * SECOND // 2]


TOO_MUCH = {
    "counts to a busy second": (
        counts(1, 100),
        Workload(scale=1e9),
        "pipeline.yaml: workload.scale: 1e+11 queries in the busiest second are too many; at most 10000000 are "
        "accepted",
    ),
    "counts to infinity": (
        counts(1, 100),
        Workload(scale=1e308),
        "pipeline.yaml: workload.scale: inf queries in the busiest second are too many; at most 10000000 are "
        "accepted",
    ),
    "counts to many queries": (
        counts(*[100] * 200),
        Workload(peak=1e6),
        "pipeline.yaml: workload.peak: 2e+08 queries in the trace are too many; at most 100000000 are accepted",
    ),
    "counts as they are": (
        counts(20_000_000),
        Workload(),
        "trace.csv: 2e+07 queries in the busiest second are too many; at most 10000000 are accepted",
    ),
    "counts to nothing": (
        counts(1, 3),
        Workload(scale=0.1),
        "pipeline.yaml: workload.scale: scales every second of the trace down to no query",
    ),
    "counts by a factor of 0": (
        counts(1, 3),
        Workload(peak=5e-324),
        "pipeline.yaml: workload.peak: scales every second of the trace down to no query",
    ),
    "arrivals beyond 146 years": (
        arrivals(0, 100),
        Workload(scale=1e-9),
        "pipeline.yaml: workload.scale: stretches the trace beyond 146 years (2**62 ns)",
    ),
    "arrivals by the smallest factor": (
        arrivals(0, 0.1, 100),
        Workload(peak=5e-324),
        "pipeline.yaml: workload.peak: stretches the trace beyond 146 years (2**62 ns)",
    ),
    "an empty sample": (
        arrivals(5, 6),
        Workload(sample=0.5),
        "pipeline.yaml: workload.sample: the first 0.5 of the trace's duration holds no query; take a larger share",
    ),
}


@pytest.mark.parametrize(("source", "workload", "expected"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_cannot_be_planned_from(faults_of, source, workload, expected):
    assert faults_of(lambda: prepared(source, workload, **FILES)) == [expected]


def test_arrival_times_into_one_second(faults_of, monkeypatch):
    monkeypatch.setattr("inferline.files.pipeline_file.workload.MAX_RATE_QPS", 3)
    workload = Workload(scale=10.0)
    assert faults_of(lambda: prepared(arrivals(1, 2, 3, 4), workload, **FILES)) == [
        "pipeline.yaml: workload.scale: 4 queries in the busiest second are too many; at most 3 are accepted"
    ]
