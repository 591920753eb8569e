"""Bounds on delays against the simulator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferline.domain import gamma_trace
from simulator import Network, Station, simulate
from tuner.policies.delays import delay_ns, throughput_qps

MS = 1_000_000
S = 1_000_000_000

arrivals = st.lists(st.integers(0, 400), min_size=1, max_size=60).map(lambda each: np.sort(np.array(each)))
tables = st.lists(st.integers(1, 20), min_size=1, max_size=6)


def latencies(arrival_ns, table_ns, replicas):
    return simulate(Network((Station("a", table_ns, replicas),)), arrival_ns).latency_ns


@settings(deadline=None)
@given(arrivals, st.integers(1, 20), st.integers(1, 5))
def test_without_batches_the_delays_are_those_of_the_simulator(arrival_ns, service_ns, replicas):
    for quantile in (0.5, 0.9, 1.0):
        rank = int(np.ceil(quantile * arrival_ns.size)) - 1
        expected = np.sort(latencies(arrival_ns, (service_ns,), replicas))[rank]
        assert delay_ns(arrival_ns.astype(float), (service_ns,), replicas, 0.0, quantile) == expected


@settings(deadline=None)
@given(arrivals, tables, st.integers(1, 4))
def test_no_query_is_later_than_full_batches_allow(arrival_ns, table_ns, replicas):
    # At a rate that nothing carries the largest batch is usual.
    bound = delay_ns(arrival_ns.astype(float), table_ns, replicas, 1e12, 1.0)
    assert latencies(arrival_ns, table_ns, replicas).max() <= bound + 1e-6


@pytest.mark.parametrize("cv2", [0.5, 1, 4])
@pytest.mark.parametrize("load", [0.4, 0.7, 0.85])
@pytest.mark.parametrize("replicas", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("base_ms", [10, 40])  # batching pays some, or much
def test_the_p99_of_a_batch_server_is_estimated_well_enough(replicas, load, cv2, base_ms):
    table_ns = [(base_ms + 5 * size) * MS for size in range(1, 9)]
    rate = load * replicas * throughput_qps(table_ns)
    arrival_ns = gamma_trace(rate=rate, cv2=cv2, queries=8000, seed=replicas).arrival_ns
    measured = np.quantile(latencies(arrival_ns, table_ns, replicas), 0.99, method="inverted_cdf")
    assert 0.65 * measured <= delay_ns(arrival_ns.astype(float), table_ns, replicas, rate, 0.99) <= 2.0 * measured


@settings(deadline=None)
@given(arrivals, st.integers(1, 20))
def test_more_replicas_without_batches_never_delay_more(arrival_ns, service_ns):
    delays = [delay_ns(arrival_ns.astype(float), (service_ns,), replicas, 0.0, 0.99) for replicas in range(1, 8)]
    assert delays == sorted(delays, reverse=True)


def test_throughput_is_that_of_the_best_batch():
    assert throughput_qps((50 * MS, 60 * MS)) == pytest.approx(1000 / 30)
    assert throughput_qps((10 * MS, 60 * MS)) == pytest.approx(100)
