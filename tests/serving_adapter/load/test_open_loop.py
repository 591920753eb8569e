"""Open loop, against real servers: what is sent, when, and what is made of the replies."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import numpy as np
import pytest

from inferline.domain import poisson_trace
from inferline.errors import InputError, OutsideError
from inferline.units import NANO
from serving_adapter.load import LoadSpec, Outcome, bodies, run, summarise

MS = 1_000_000


def own_number(query: int, body: bytes) -> bool:
    """Whether the reply is that of an input which is the query's number."""
    return bool(json.loads(body)["output"] == [float(query)])


def outcomes(result) -> dict[Outcome, int]:
    found, counts = np.unique(result.records.outcome, return_counts=True)
    return {Outcome(each): int(count) for each, count in zip(found, counts, strict=True)}


@pytest.mark.parametrize("processes", [1, 2])
def test_every_query_is_sent_at_its_instant_and_gets_its_own_reply(uvicorn_echo, processes):
    trace = poisson_trace(rate=500, queries=300, seed=3)
    result = run(
        LoadSpec(
            url=f"{uvicorn_echo}/app/predict",
            bodies=bodies([[float(each)] for each in range(300)]),
            traffic=trace,
            processes=processes,
            check=own_number,
        )
    )
    records = result.records
    assert outcomes(result) == {Outcome.OK: 300}
    assert np.array_equal(records.intended_ns, trace.arrival_ns)
    assert (records.sent_ns >= records.intended_ns).all()
    assert (records.done_ns > records.sent_ns).all()
    assert np.median(records.sent_ns - records.intended_ns) < 20 * MS
    assert (records.status == 200).all()
    assert result.opened < 250
    assert 0 < result.cpu_s < 4 * result.wall_s


def test_a_pause_of_the_server_shows_in_every_query_that_fell_into_it(send):
    # The 20th of 200 queries, 5 ms apart, stops the server for 1 s. A generator that waited for replies would record
    # one latency of 1 s; those who came meanwhile waited 995 ms, 990 ms ...
    result = send("pause", queries=200)
    latency_ns = result.records.latency_ns
    assert outcomes(result) == {Outcome.OK: 200}
    assert 90 <= (latency_ns > 500 * MS).sum() <= 180
    assert summarise(result).latency.p99_ns > 900 * MS
    assert np.median(result.records.sent_ns - result.records.intended_ns) < 100 * MS
    assert result.most_open > 50


def test_a_server_that_never_answers_gives_timeouts_in_bounded_time(send):
    began = time.monotonic()
    result = send("never", timeout_ns=300 * MS)
    assert time.monotonic() - began < 3
    assert outcomes(result) == {Outcome.TIMEOUT: 20}
    assert (result.records.latency_ns >= 300 * MS).all()
    summary = summarise(result, slo_ns=NANO)
    assert (summary.ok, summary.attainment, summary.latency.p50_ns) == (0, 0.0, None)
    assert "no query was answered" in summary.why


def test_connections_that_never_open_are_given_up_with_their_queries(send):
    with socket.create_server(("127.0.0.1", 0), backlog=1) as full:  # nobody accepts, and few may wait for it
        result = send("x", url=f"http://127.0.0.1:{full.getsockname()[1]}", timeout_ns=200 * MS, connections=3)
    # Those for which there was no connection left were not sent; those given up made room for others.
    found = outcomes(result)
    assert found.keys() <= {Outcome.TIMEOUT, Outcome.UNSENT}
    assert sum(found.values()) == 20
    assert found[Outcome.TIMEOUT] >= 3 == result.most_open
    assert result.opened < found[Outcome.TIMEOUT]


@pytest.mark.parametrize("path", ["close_said", "close_unsaid"])
def test_a_server_that_closes_after_each_reply_is_reconnected_to(send, path):
    result = send(path, check=own_number)
    assert outcomes(result) == {Outcome.OK: 20}
    assert result.opened >= 20
    assert result.closed_by_server >= 19
    assert result.most_open <= 20


def test_a_query_that_met_the_end_of_an_idle_connection_is_sent_once_more(send):
    result = send("close_stale", rate=50, check=own_number)
    assert outcomes(result) == {Outcome.OK: 20}
    assert 1 <= result.resent == result.closed_by_server <= result.opened


@pytest.mark.parametrize(
    ("path", "outcome"),
    [
        ("close_first", Outcome.CLOSED),
        ("cut", Outcome.CLOSED),
        ("garbage", Outcome.MALFORMED),
        ("twice", Outcome.MALFORMED),
        ("busy", Outcome.STATUS),
        ("pieces", Outcome.OK),
    ],
)
def test_what_is_made_of_odd_replies(send, path, outcome):
    result = send(path, queries=5, check=own_number)
    assert outcomes(result) == {outcome: 5}


def test_a_reply_that_is_too_long_is_not_kept(send, monkeypatch):
    monkeypatch.setattr("serving_adapter.load.connection.MAX_REPLY_BYTES", 20)
    assert outcomes(send("pieces", queries=5)) == {Outcome.MALFORMED: 5}


def test_a_status_that_is_no_success_is_named_with_its_body(send):
    result = send("busy")
    assert result.excerpt == 'HTTP 503: {"error": "busy", "default": true}'
    assert summarise(result).errors == {"http 503": 20}


def test_default_outputs_are_answers_that_meet_no_slo(send):
    summary = summarise(send("default"), slo_ns=10 * NANO)
    assert (summary.ok, summary.defaults, summary.attainment) == (20, 20, 0.0)


def test_wrong_replies_are_failures_and_the_run_does_not_count(send):
    result = send("echo", check=lambda query, body: query != 3 and own_number(query, body))
    summary = summarise(result)
    assert outcomes(result) == {Outcome.OK: 19, Outcome.WRONG: 1}
    assert result.records.outcome[3] == Outcome.WRONG
    assert "1 replies are not what the check expects" in summary.why


def test_queries_wait_for_a_connection_only_beyond_the_cap_and_that_is_told(send):
    # Two connections, 100 ms each: 20 queries/s of the 100 that are asked for.
    result = send("sleep", rate=100, connections=2)
    lag_ns = result.records.sent_ns - result.records.intended_ns
    assert outcomes(result) == {Outcome.OK: 20}
    assert (result.most_open, result.crowded) == (2, 18)
    assert lag_ns[-1] > 600 * MS
    assert (np.diff(result.records.sent_ns) >= 0).all()
    assert "18 queries found all of 2 connections in use" in summarise(result).why


def test_more_than_can_be_sent_ends_in_time_and_does_not_count(uvicorn_echo, send):
    began = time.monotonic()
    result = send("app/predict", url=uvicorn_echo, queries=40_000, rate=200_000, timeout_ns=500 * MS)
    assert time.monotonic() - began < 6
    summary = summarise(result)
    assert summary.asked_qps == pytest.approx(200_000)
    assert summary.achieved_qps < 0.9 * summary.asked_qps
    assert summary.send_error.p99_ns > 10 * MS
    assert "of 200,000 asked for" in summary.why
    assert sum(outcomes(result).values()) == 40_000
    assert Outcome.UNFINISHED not in outcomes(result)


def test_without_uvloop_and_without_timer_descriptors_it_works_the_same(send, monkeypatch):
    monkeypatch.setattr("serving_adapter.load.measuring._loop_factory", lambda: asyncio.new_event_loop)
    monkeypatch.setattr("serving_adapter.load.alarm.sys.platform", "other")
    result = send("echo", check=own_number)
    assert outcomes(result) == {Outcome.OK: 20}
    assert (result.records.sent_ns >= result.records.intended_ns).all()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_check_that_fails_ends_the_run_with_its_error(send, processes):
    with pytest.raises(ZeroDivisionError):
        send("echo", check=fails, processes=processes)


def fails(query: int, body: bytes) -> bool:
    return query / 0 == len(body)


def test_progress_is_told_while_it_runs(odd):
    seen = []
    run(
        LoadSpec(url=f"{odd}/echo", bodies=bodies([[1.0]]), traffic=poisson_trace(rate=200, queries=120)), seen.append
    )
    assert seen
    assert 0 < seen[0].sent <= 120
    assert 0 < seen[0].p99_s < 10


def test_a_port_where_nobody_listens(send):
    with pytest.raises(OutsideError, match=r"127\.0\.0\.1:9 accepts no connection .*inferline serve"):
        send("echo", url="http://127.0.0.1:9")


@pytest.mark.parametrize(
    "url",
    ["https://127.0.0.1/x", "ftp://h/x", "127.0.0.1:1337/x", "http:///x", "http://h:99999/x", "http://h/a b",
     "http://h/x\r\nEvil: 1", "http://u:p@h/x", "http://[::1/x"],
)  # fmt: skip
def test_nothing_but_plain_http_urls_is_sent_to(send, url):
    with pytest.raises(InputError, match="URL"):
        run(LoadSpec(url=url, bodies=[b"{}"], traffic=poisson_trace(rate=1, queries=1)))
