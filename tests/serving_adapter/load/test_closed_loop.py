"""Closed loop: each connection waits for its reply."""

from __future__ import annotations

import json

import numpy as np
import pytest

from inferline.units import NANO
from serving_adapter.load import ClosedLoop, LoadSpec, Outcome, bodies, run, summarise, summary_document

INPUTS = [[float(each)] for each in range(7)]


def in_turn(query: int, body: bytes) -> bool:
    return bool(json.loads(body)["output"] == INPUTS[query % 7])


def closed(url: str, connections: int):
    traffic = ClosedLoop(duration_ns=3 * NANO // 10)
    return run(LoadSpec(url=url, bodies=bodies(INPUTS), traffic=traffic, connections=connections, check=in_turn))


def test_each_connection_has_one_query_out_at_a_time(odd):
    # 100 ms each, four at a time: 12 in 0.3 s, and those that are out then.
    result = closed(f"{odd}/sleep", 4)
    records = result.records
    assert (records.outcome == Outcome.OK).all()
    assert (result.most_open, result.opened, result.closed_loop) == (4, 4, True)
    assert 8 <= len(records) <= 16
    out = np.searchsorted(records.sent_ns, records.done_ns, side="left") - np.arange(len(records))
    assert out.max() <= 4
    assert summarise(result).throughput_qps <= 41


def test_throughput_is_counted_and_called_closed(uvicorn_echo):
    result = closed(f"{uvicorn_echo}/app/predict", 5)
    summary = summarise(result)
    assert (summary.ok, result.most_open, summary.why) == (len(result.records), 5, "")
    assert len(result.records) > 100
    assert np.array_equal(result.records.sent_ns, np.sort(result.records.sent_ns))
    document = summary_document(result, summary)
    assert (document["loop"], document["send_error"], document["asked_qps"]) == ("closed", None, None)
    assert document["throughput_qps"] == pytest.approx(summary.ok / 0.3, rel=0.2)


def test_the_log_grows_as_queries_come(uvicorn_echo, monkeypatch):
    monkeypatch.setattr("serving_adapter.load.measuring._FIRST_ROOM", 4)
    result = closed(f"{uvicorn_echo}/app/predict", 3)
    assert len(result.records) > 100
    assert (result.records.outcome == Outcome.OK).all()


def test_a_server_that_closes_every_connection(odd):
    result = closed(f"{odd}/close_first", 2)
    assert summarise(result).errors == {"closed": len(result.records)}
    assert 0 < len(result.records) <= result.opened == result.closed_by_server
