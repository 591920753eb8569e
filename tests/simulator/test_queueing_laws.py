"""What queueing theory knows: exactly where it is a recursion, within sampling error where it is a mean."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import poisson

from simulator import Network, Station, simulate

QUERIES = 1_000_000
SERVICE_NS = 1_000_000


def poisson_trace(queries: int, rate_per_ns: float, seed: int) -> np.ndarray:
    gaps = np.random.default_rng(seed).exponential(1 / rate_per_ns, queries)
    return np.rint(np.cumsum(gaps)).astype(np.int64)


def waits(table: tuple[int, ...], replicas: int, arrival_ns: np.ndarray) -> np.ndarray:
    return simulate(Network((Station("x", table, replicas),)), arrival_ns).stations["x"].wait_ns


def assert_mean(samples: np.ndarray, expected: float) -> None:
    """Compare a mean of dependent samples: five standard errors, from the spread of the means of 100 stretches."""
    stretches = samples[: samples.size // 100 * 100].reshape(100, -1).mean(axis=1)
    error = stretches.std(ddof=1) / 10
    assert abs(samples.mean() - expected) < 5 * error
    assert error < 0.05 * expected  # otherwise the comparison would say nothing


@pytest.mark.parametrize("load", [0.3, 0.9, 1.1])
def test_one_replica_without_batches_is_the_recursion_of_lindley(load):
    arrival_ns = poisson_trace(50_000, load / SERVICE_NS, seed=1)
    # finish(k) = max over j <= k of arrival(j) + (k - j + 1) L
    served_ns = np.arange(arrival_ns.size) * SERVICE_NS
    finish_ns = np.maximum.accumulate(arrival_ns - served_ns) + served_ns + SERVICE_NS
    for engine in ("kernel", "reference"):
        latency_ns = simulate(Network((Station("x", (SERVICE_NS,)),)), arrival_ns, engine=engine).latency_ns
        assert latency_ns.tolist() == (finish_ns - arrival_ns).tolist()


@pytest.mark.parametrize("load", [0.5, 0.7, 0.9])
def test_mean_wait_of_m_d_1(load):
    arrival_ns = poisson_trace(QUERIES, load / SERVICE_NS, seed=2)
    assert_mean(waits((SERVICE_NS,), 1, arrival_ns), load * SERVICE_NS / (2 * (1 - load)))


def mean_wait_m_d_c(load: float, replicas: int) -> float:
    """Return E[W] / L of M/D/c, after Crommelin (1932): with N Poisson, a sum over rounds of the replicas."""
    rounds = np.arange(1, 2_000)
    mean = rounds * load * replicas
    at_least = poisson.sf(rounds * replicas - 1, mean)
    more = poisson.sf(rounds * replicas, mean)
    return float(np.sum(at_least - more / load))


def test_the_formula_for_m_d_c_contains_that_for_m_d_1():
    assert mean_wait_m_d_c(0.8, 1) == pytest.approx(0.8 / (2 * (1 - 0.8)), rel=1e-9)


@pytest.mark.parametrize(("replicas", "load"), [(2, 0.7), (4, 0.85), (16, 0.95)])
def test_mean_wait_of_m_d_c(replicas, load):
    arrival_ns = poisson_trace(QUERIES, load * replicas / SERVICE_NS, seed=3)
    assert_mean(waits((SERVICE_NS,), replicas, arrival_ns), mean_wait_m_d_c(load, replicas) * SERVICE_NS)


def left_behind(load: float, max_batch: int, states: int = 400) -> np.ndarray:
    """Return the distribution of the queries left behind by a departing batch, with L independent of the batch.

    The chain of Bailey (1954): X' = max(X - B, 0) + Poisson(load B); a batch that starts after an idle time has one
    query and leaves what arrived during its service, which is the same rule for X = 0.
    """
    arrived = poisson.pmf(np.arange(states), load * max_batch)
    transition = np.zeros((states, states))
    for state in range(states):
        kept = max(state - max_batch, 0)
        transition[state, kept:] = arrived[: states - kept]
    transition[:, -1] += 1 - transition.sum(axis=1)
    system = np.vstack([transition.T - np.eye(states), np.ones(states)])
    return np.linalg.lstsq(system, np.append(np.zeros(states), 1.0), rcond=None)[0]


@pytest.mark.parametrize(("max_batch", "load"), [(1, 0.6), (4, 0.3), (4, 0.8), (16, 0.9)])
def test_mean_wait_and_mean_batch_of_bulk_service(max_batch, load):
    rate = load * max_batch / SERVICE_NS
    arrival_ns = poisson_trace(QUERIES, rate, seed=4)
    station = simulate(Network((Station("x", (SERVICE_NS,) * max_batch),)), arrival_ns).stations["x"]
    chance = left_behind(load, max_batch)
    queued = np.maximum(np.arange(chance.size) - max_batch, 0)
    # From one departure to the next: an idle time if nobody was left, then a service during which the queue grows.
    cycle_ns = SERVICE_NS + chance[0] / rate
    mean_queue = SERVICE_NS * (chance @ queued + rate * SERVICE_NS / 2) / cycle_ns
    assert_mean(station.wait_ns, mean_queue / rate)
    assert station.visits / station.batches == pytest.approx(rate * cycle_ns, rel=0.01)


@pytest.mark.parametrize("engine", ["kernel", "reference"])
def test_evenly_spaced_queries_wait_only_when_there_are_too_few_replicas(engine):
    arrival_ns = np.arange(1_000) * 10
    enough = simulate(Network((Station("x", (30,), 3),)), arrival_ns, engine=engine)
    assert set(enough.latency_ns.tolist()) == {30}
    # Two replicas finish two queries in 30 ns, and three come: every query waits 5 ns longer than the one before it.
    short = simulate(Network((Station("x", (30,), 2),)), arrival_ns, engine=engine)
    assert short.latency_ns[::2].tolist() == [30 + 5 * query for query in range(0, 1_000, 2)]
