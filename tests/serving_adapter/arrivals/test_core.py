"""Arrivals read from a real core: each once, over another process and another version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

import httpx
import numpy as np
import pytest

from inferline.errors import OutsideError
from serving_adapter.arrivals import CoreArrivals
from serving_adapter.client.admin import AdminClient
from serving_adapter.replicas import CoreAddress, CoreOptions
from serving_adapter.replicas.local import LocalTarget

PIPELINE = {
    "version": 1,
    "name": "small",
    "slo": {"latency": "20ms", "percentile": 99},
    "profiles": "profiles.csv",
    "workload": {"trace": "trace.csv"},
    "hardware": {"cpu": {"price": 1}},
    "stages": {"one": {"model": "m"}},
    "models": {"m": {"callable": "served:one", "input_type": "integers"}},
}
PLAN = {"version": 1, "stages": {"one": {"model": "m", "hardware": "cpu", "max_batch": 2, "replicas": 1}}}


class Core:
    """A core as a process, with a pipeline that nobody serves: its queries are given up after 20 ms."""

    def __init__(self, folder: Path) -> None:
        self.target = LocalTarget(folder)
        self.at = CoreAddress(host="127.0.0.1", query_port=0, admin_port=0, rpc_port=0)

    def start(self) -> None:
        """Start the core, on the same ports as before."""
        at = self.at
        options = CoreOptions(query_port=at.query_port, admin_port=at.admin_port, rpc_port=at.rpc_port)
        self.at = self.target.start_core("small", options)

    def admin(self) -> AdminClient:
        return AdminClient(f"http://127.0.0.1:{self.at.admin_port}")

    def register(self) -> None:
        with self.admin() as admin:
            admin.add_pipeline(PIPELINE, PLAN, deadline_micros=20_000)

    def send(self, count: int) -> None:
        url = f"http://127.0.0.1:{self.at.query_port}/small/predict"
        assert httpx.post(url, json={"input_batch": [[1]] * count}, timeout=20).status_code == 200


@pytest.fixture
def core(tmp_path: Path) -> Iterator[Core]:
    core = Core(tmp_path)
    core.start()
    yield core
    core.target.stop("small")


@pytest.fixture
def reading(core: Core) -> Iterator[Callable[[], CoreArrivals]]:
    opened = []

    def read() -> CoreArrivals:
        opened.append(CoreArrivals(core.admin(), "small"))
        return opened[-1]

    yield read
    for each in opened:
        each.close()


def test_each_arrival_is_told_and_none_twice_whatever_happens_to_the_core(core, reading):
    arrivals = reading()
    with pytest.raises(OutsideError, match="pipeline 'small' is not registered"):
        arrivals.look()
    core.register()
    core.send(3)
    first = arrivals.look()
    core.send(2)
    core.send(1)
    second = arrivals.look()
    for seen, count in ((first, 3), (second, 6)):
        instants = seen.stages["one"].arrival_ns
        assert (instants.size, seen.start, seen.age_ns) == (count, first.start, 0)
        assert np.all(np.diff(instants) >= 0)
        assert instants[-1] <= seen.now_ns
    assert np.array_equal(second.stages["one"].arrival_ns[:3], first.stages["one"].arrival_ns)
    assert (second.stages["one"].replicas, second.stages["one"].utilisation) == (0, 0.0)
    another_reader_sees_them_too(reading(), second)
    another_version_begins_anew(core, arrivals)
    another_process_begins_anew(core, arrivals, first)


def another_reader_sees_them_too(other, seen):
    assert np.array_equal(other.look().stages["one"].arrival_ns, seen.stages["one"].arrival_ns)


def another_version_begins_anew(core, arrivals):
    with core.admin() as admin:
        admin.set_plan("small", PLAN, versions={"one": "2"})
    core.send(8)  # more than there were: the numbers alone would not tell
    assert arrivals.look().stages["one"].arrival_ns.size == 8
    core.send(1)
    assert arrivals.look().stages["one"].arrival_ns.size == 9


def look_again_and_again(arrivals):
    """Look until that fails: a core that is to end finishes what it has begun."""
    end = monotonic() + 20
    while monotonic() < end:
        arrivals.look()


def another_process_begins_anew(core, arrivals, first):
    core.target.stop("small")
    with pytest.raises(OutsideError):
        look_again_and_again(arrivals)
    core.start()
    core.register()
    core.send(4)
    seen = arrivals.look()
    assert seen.stages["one"].arrival_ns.size == 4
    assert seen.start != first.start


def test_scrapers_are_told_what_an_autoscaler_needs(core):
    core.register()
    core.send(5)
    url = f"http://127.0.0.1:{core.at.query_port}/metrics"
    told = httpx.get(url, headers={"Accept": "text/plain;version=0.0.4"}, timeout=20).text
    for line in (
        'inferline_stage_arrivals_total{model="small.one",version="1"} 5.0',
        'inferline_stage_envelope_queries{model="small.one",version="1",window="0.05"} 5.0',
        'inferline_stage_envelope_queries{model="small.one",version="1",window="60"} 5.0',
        'inferline_stage_in_service{model="small.one",version="1"} 0.0',
        'inferline_stage_busy_seconds_total{model="small.one",version="1"} 0.0',
        'inferline_core_clock_seconds{start="',
    ):
        assert line in told, line
