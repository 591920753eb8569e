"""Ways to read and compare the outcome of a simulation in tests."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from simulator import Result

FINISHES, QUEUES, STARTS = "finishes", "queues", "starts"
_AT_ONE_INSTANT = (FINISHES, QUEUES, STARTS)


def timeline(result: Result) -> list[tuple[int, str]]:
    """Return every event as (instant, "station verb queries"), in the order of the rules for one instant."""
    events: dict[tuple[int, int, str], list[int]] = defaultdict(list)
    for name, station in result.stations.items():
        visits = station.each
        dispatch_ns = visits.arrival_ns + visits.wait_ns
        for verb, instants in ((FINISHES, visits.finish_ns), (QUEUES, visits.arrival_ns), (STARTS, dispatch_ns)):
            for query, instant in zip(visits.query_id.tolist(), instants.tolist(), strict=True):
                events[instant, _AT_ONE_INSTANT.index(verb), name].append(query)
    return [
        (instant, f"{name} {_AT_ONE_INSTANT[place]} {' '.join(map(str, queries))}")
        for (instant, place, name), queries in sorted(events.items())
    ]


def assert_same(found: Result, expected: Result) -> None:
    """Compare all that two simulations give, to the nanosecond and the type."""
    assert list(found.stations) == list(expected.stations)
    _assert_equal("latency_ns", found.latency_ns, expected.latency_ns)
    for name, station in found.stations.items():
        other = expected.stations[name]
        totals = (station.visits, station.batches, station.busy_ns)
        assert totals == (other.visits, other.batches, other.busy_ns), name
        for field in ("query_id", "arrival_ns", "wait_ns", "service_ns", "replica_busy_ns"):
            _assert_equal(f"{name}.{field}", getattr(station.each, field), getattr(other.each, field))


def _assert_equal(what: str, found: np.ndarray, expected: np.ndarray) -> None:
    assert found.dtype == expected.dtype, what
    assert found.tolist() == expected.tolist(), what
