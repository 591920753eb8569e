"""How a run is shared by processes, and put together again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferline.domain import Trace
from inferline.units import NANO
from serving_adapter.load import ClosedLoop, LoadSpec, parse_target
from serving_adapter.load.records import QueryLog
from serving_adapter.load.result import result_of
from serving_adapter.load.share import Part, split

URL = "http://h:1/x"


def spec(traffic, **options):
    return LoadSpec(url=URL, bodies=[b"a", b"b", b"c"], traffic=traffic, **options)


def part(records, stopped_ns=None):
    counts = dict.fromkeys(("opened", "most_open", "closed_by_server", "resent", "crowded"), 1)
    return Part(records=records, excerpt="", cpu_s=0.5, wall_s=1.0, stopped_ns=stopped_ns, **counts)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.integers(1, 7))
def test_each_query_is_sent_once_and_comes_back_in_its_place(gaps, processes):
    trace = Trace(np.cumsum(gaps), int(np.sum(gaps)) + 1)
    run = spec(trace, processes=processes)
    shares = split(run, parse_target(URL), ("h", 1))
    parts = []
    for share in shares:
        log = QueryLog(share.intended_ns)
        for place in range(len(log)):
            log.sent_ns[place] = share.wires.numbers[place]  # stands for the number of the query
        parts.append(part(log.records))
    records = result_of(run, parts).records
    assert records.sent_ns.tolist() == list(range(len(trace)))
    assert records.intended_ns.tolist() == trace.arrival_ns.tolist()


def test_connections_of_a_closed_loop_are_those_of_all_processes():
    shares = split(spec(ClosedLoop(duration_ns=5), connections=8, processes=3), parse_target(URL), ("h", 1))
    assert [share.wires.connections for share in shares] == [3, 3, 2]
    assert [share.wires.numbers[1] for share in shares] == [3, 4, 5]
    assert {share.closed_ns for share in shares} == {5}


def test_an_interrupted_run_has_the_queries_up_to_the_interrupt():
    trace = Trace(np.arange(10) * NANO, 10 * NANO)
    run = spec(trace, processes=2)
    logs = [QueryLog(share.intended_ns) for share in split(run, parse_target(URL), ("h", 1))]
    result = result_of(run, [part(logs[0].records, 4 * NANO + 7), part(logs[1].records, 4 * NANO + 5)])
    assert (result.interrupted, result.duration_ns) == (True, 4 * NANO + 5)
    assert result.records.intended_ns.tolist() == [0, NANO, 2 * NANO, 3 * NANO, 4 * NANO]
    assert (result.opened, result.cpu_s) == (2, 1.0)


def test_requests_are_whole_and_say_their_length():
    target = parse_target("http://[::1]:8080/app/predict?a=1")
    assert (target.host, target.port) == ("::1", 8080)
    assert target.request(b'{"input":1}') == (
        b"POST /app/predict?a=1 HTTP/1.1\r\nHost: [::1]:8080\r\nContent-Type: application/json\r\n"
        b'Content-Length: 11\r\n\r\n{"input":1}'
    )
    assert parse_target("http://h").request(b"").startswith(b"POST / HTTP/1.1\r\nHost: h\r\n")


@pytest.mark.parametrize(
    "wrong", [{"processes": 0}, {"connections": 0}, {"timeout_ns": 0}, {"connections": 1, "processes": 2}]
)
def test_numbers_out_of_range(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        spec(ClosedLoop(duration_ns=1), **wrong)
    with pytest.raises(ValueError, match="duration_ns"):
        ClosedLoop(duration_ns=0)
    with pytest.raises(ValueError, match="bodies"):
        LoadSpec(url=URL, bodies=[], traffic=ClosedLoop(duration_ns=1))
