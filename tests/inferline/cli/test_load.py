"""``inferline load``, as users run it."""

from __future__ import annotations

import csv
import http.client
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

SERVERS = Path(__file__).parents[2] / "serving_adapter" / "load" / "servers.py"


@pytest.fixture(scope="module")
def port():
    process = subprocess.Popen([sys.executable, str(SERVERS), "odd"], stdout=subprocess.PIPE, text=True)
    yield int(process.stdout.readline())
    process.kill()
    process.communicate()


@pytest.fixture
def load(run, port):
    def load_path(path, *arguments):
        return run("load", f"http://127.0.0.1:{port}/{path}", *arguments)

    return load_path


# How precise sending is depends on what else this machine does; what is tested here does not.
EASY = ("--rate", "100", "--duration", "200ms", "--shape", "2", "--lag-bound", "10s")


def test_a_table_says_what_was_asked_sent_and_answered(load, folder):
    ended = load("echo", "--arrivals", "even", *EASY, "--slo", "10s", "--out", "queries.csv")
    assert (ended.code, ended.err) == (0, "")
    for words in (
        "open loop: 20 queries in 200 ms", "100.0 queries/s asked, 100.0 sent in time", "(from the intended instant)",
        "bound of the P99: 10 s", "100.00% of the queries answered within 10 s", "20 ok", "1 process,",
    ):  # fmt: skip
        assert words in ended.out
    with (folder / "queries.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["intended_s"] for row in rows[:3]] == ["0.000000000", "0.010000000", "0.020000000"]
    assert {row["ok"] for row in rows} == {"1"}


def test_json_is_one_document_and_nothing_else(load):
    ended = load("echo", "--arrivals", "gamma", *EASY, "--cv2", "1", "--format", "json")
    assert (ended.code, ended.err) == (0, "")
    document = json.loads(ended.out)
    assert (document["counts"], document["loop"], document["errors"]) == (True, "open", {})
    assert document["ok"] == document["queries"] > 0


@pytest.mark.parametrize(
    ("trace", "queries"), [("arrival_s\n0.1\n0.2\n0.5\n", 3), ("second,requests\n0,4\n1,5\n", 9)]
)
def test_a_trace_is_sent_as_fast_as_asked(load, folder, trace, queries):
    (folder / "short.csv").write_text(trace)
    ended = load(
        "echo", "--trace", "short.csv", "--speed-up", "10", "--shape", "1", "--lag-bound", "10s", "--format", "json"
    )
    document = json.loads(ended.out)
    assert (document["ok"], document["duration_s"] <= 0.2) == (queries, True)


def test_replies_are_compared_with_the_outputs_that_are_expected(load, folder):
    (folder / "inputs.jsonl").write_text("[1]\n[2]\n")
    (folder / "outputs.jsonl").write_text("[1.0]\n[2.0]\n")
    options = ("--arrivals", "even", *EASY[:4], *EASY[6:], "--inputs", "inputs.jsonl", "--check", "outputs.jsonl")
    assert load("echo", *options, "--input-type", "doubles").code == 0
    (folder / "outputs.jsonl").write_text("[1.0]\n[7.0]\n")
    ended = load("echo", *options, "--format", "json")
    assert ended.code == 4
    assert "10 replies are not what the check expects" in ended.err
    assert json.loads(ended.out)["errors"] == {"wrong": 10}
    (folder / "outputs.jsonl").write_text("[1.0]\n")
    assert "has 1 outputs for 2 inputs" in load("echo", *options).err


def test_a_closed_loop_is_called_so(load):
    ended = load("sleep", "--closed", "--duration", "300ms", "--shape", "2", "--connections", "4")
    assert ended.code == 0
    assert "closed loop: " in ended.out
    assert "(closed loop: from the sending)" in ended.out
    assert "send error" not in ended.out


def test_asking_for_too_much_is_said_loudly_and_ends_in_4(load):
    ended = load(
        "sleep", "--arrivals", "even", "--rate", "20000", "--duration", "200ms", "--shape", "1",
        "--connections", "3", "--timeout", "300ms",
    )  # fmt: skip
    assert ended.code == 4
    assert ended.out.startswith("THIS RUN DOES NOT COUNT: the P99 of the send error is ")
    assert "of 20,000 asked for" in ended.err
    assert "unsent" in ended.out
    assert "no answer" in ended.out


def test_failures_of_the_server_are_shown(load):
    ended = load("busy", "--arrivals", "even", *EASY)
    assert ended.code == 4
    assert "no query was answered" in ended.err
    assert "20 http 503" in ended.out
    assert 'first failure  HTTP 503: {"error": "busy"' in ended.out


def test_a_server_that_is_not_there_ends_in_4(run):
    ended = run("load", "http://127.0.0.1:9/app/predict", "--closed", "--duration", "1s", "--shape", "1")
    assert (ended.code, ended.out) == (4, "")
    assert "127.0.0.1:9 accepts no connection" in ended.err


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ((), ["give one of --trace, --arrivals and --closed", "give either --inputs, a file, or --shape"]),
        (("--trace", "t.csv", "--closed", "--shape", "1"), ["--trace and --closed exclude each other"]),
        (("--arrivals", "even", "--shape", "1"), ["--rate: missing", "--duration: missing"]),
        (("--arrivals", "even", "--rate", "1", "--duration", "1s", "--cv2", "2", "--shape", "1"), ["--cv2: means"]),
        (("--trace", "trace.csv", "--duration", "1s", "--shape", "1"), ["--duration: means nothing with --trace"]),
        (("--trace", "nowhere.csv", "--shape", "1"), ["nowhere.csv"]),
        (("--closed", "--duration", "1s", "--shape", "2,a"), ["'2,a' is not a shape"]),
        (("--closed", "--duration", "0s", "--shape", "2"), ["duration_ns is 0"]),
        (("--closed", "--duration", "1s", "--speed-up", "2", "--shape", "2"), ["--speed-up: means nothing"]),
        (("--closed", "--duration", "1s", "--shape", "2", "--timeout", "0s"), ["--timeout: is 0"]),
        (("--closed", "--duration", "1s", "--shape", "2", "--check", "trace.csv"), ["--check: goes with --inputs"]),
        (("--closed", "--duration", "1s", "--shape", "2", "--out", "queries.txt"), ["queries.txt: ends in neither"]),
        (("--arrivals", "even", "--rate", "0.1", "--duration", "1ns", "--shape", "1", "--cv2", "x"), ["--cv2"]),
        (("--arrivals", "gamma", "--rate", "9", "--duration", "1s", "--cv2", "-1", "--shape", "1"), ["cv2 is -1.0"]),
    ],
)
def test_wrong_options_end_in_2_and_name_every_fault(run, arguments, messages):
    ended = run("load", "http://127.0.0.1:9/x", *arguments)
    assert (ended.code, ended.out) == (2, "")
    for message in messages:
        assert message in ended.err


def test_help_carries_an_example(run):
    ended = run("load", "--help")
    assert ended.code == 0
    assert "inferline load http://127.0.0.1:1337/app/predict" in ended.out
    assert "Send traffic and measure." in run("--help").out


def seen(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", f"/seen/{path}", body=b"")
        return int(connection.getresponse().read())
    finally:
        connection.close()


def read_terminal(descriptor: int) -> str:
    """Return what was written to a terminal that nobody writes to any more."""
    pieces = []
    with suppress(OSError):  # how Linux says that the other side is closed
        while piece := os.read(descriptor, 4096):
            pieces.append(piece)
    os.close(descriptor)
    return b"".join(pieces).decode()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_an_interrupt_reports_what_was_measured_and_ends_in_130(folder, port, processes):
    before = seen(port, "echo")
    arguments = (
        "load", f"http://127.0.0.1:{port}/echo", "--arrivals", "even", "--rate", "100", "--duration", "1h",
        "--shape", "1", "--out", "queries.csv", "--format", "json", "--processes", processes,
    )  # fmt: skip
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "inferline", *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=theirs, text=True
    )
    os.close(theirs)
    while seen(port, "echo") < before + 60:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    document = json.loads(process.communicate(timeout=20)[0])
    terminal = read_terminal(ours)
    assert (process.returncode, document["interrupted"]) == (130, True)
    assert "interrupted: this is what was measured so far" in terminal
    assert "in flight  recent P99" in terminal
    assert 60 <= document["ok"] <= document["queries"] < 3000
    assert document["asked_qps"] == pytest.approx(100, rel=0.2)
    with (folder / "queries.csv").open() as file:
        assert len(list(csv.DictReader(file))) == document["queries"]
