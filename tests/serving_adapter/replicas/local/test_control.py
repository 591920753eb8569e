"""The control socket of a real supervisor, with whatever may come over it."""

from __future__ import annotations

import json
import os
import socket
import stat

import pytest

from inferline.errors import OutsideError
from serving_adapter.replicas import SetKey
from serving_adapter.replicas.local.asking import ask
from serving_adapter.replicas.local.messages import REQUEST_BYTES, Request


@pytest.fixture
def idle(place):
    """Return a place whose supervisor has nothing to start."""
    place.start(0)
    return place


@pytest.fixture
def connect(idle):
    made = []

    def begin():
        made.append(socket.socket(socket.AF_UNIX))
        made[-1].settimeout(20)
        made[-1].connect(str(idle.folder / "control.sock"))
        return made[-1]

    yield begin
    for each in made:
        each.close()


def said(connection):
    """Return what is answered until the end."""
    text = b""
    while part := connection.recv(65536):
        text += part
    return json.loads(text)["error"] if text else None


def is_well(idle):
    return dict(idle.target.requested(idle.deployment)) == {SetKey("rank", "1", "cpu-1"): 0}


GARBAGE = [
    (b"\n", "is no request: Input data was truncated"),
    (b"\xff\xfe\x00{\n", "is no request: JSON is malformed"),
    (b'{"do": "explode"}\n', "is no request: Invalid enum value 'explode' - at `$.do`"),
    (b'{"do": "start"}\n', "'start' needs more than that"),
    (b'{"do": "start_core", "core": {"host": "h"}}\n', "'start_core' needs more than that"),
    (b'{"do": "show"', "is no request: Input data was truncated"),
    (b"[" * 100_000 + b"\n", "is no request: "),
]


def test_garbage_is_answered_and_does_no_harm(idle, connect):
    for line, error in GARBAGE:
        connection = connect()
        connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        assert said(connection).startswith(error)
        assert is_well(idle)


def test_a_huge_line_is_not_read_to_its_end(idle, connect):
    connection = connect()
    with pytest.raises(OSError, match=r"Broken pipe|reset by peer"):
        connection.sendall(b"x" * 64 * REQUEST_BYTES)
    assert is_well(idle)


def test_a_long_line_is_refused(idle, connect):
    connection = connect()
    connection.sendall(b"x" * (REQUEST_BYTES + 1))
    assert said(connection) == f"a request has at most {REQUEST_BYTES} bytes"
    with pytest.raises(OutsideError, match=f"a request has at most {REQUEST_BYTES} bytes; the model's entry makes"):
        idle.start(0, options={"shape": "x" * REQUEST_BYTES})
    assert is_well(idle)


def test_those_who_say_nothing_or_leave_hinder_nobody(idle, connect):
    silent = [connect() for _ in range(20)]
    for each in (connect() for _ in range(20)):
        each.sendall(b'{"do": "show"}\n')
        each.close()
    assert is_well(idle)
    quiet = connect()
    quiet.shutdown(socket.SHUT_WR)
    assert said(quiet) is None
    for each in silent:
        each.sendall(b'{"do": "show"}\n')
        assert said(each) == ""


def test_only_its_owner_may_connect(idle):
    modes = [stat.S_IMODE(os.stat(each).st_mode) for each in (idle.folder / "control.sock", idle.folder)]
    assert modes == [0o600, 0o700]


def test_an_absurd_number_is_refused(idle):
    for replicas in (-1, 1001, 10**12):
        wanted = idle.wanted(replicas)
        with pytest.raises(OutsideError, match=f"stage 'rank': {replicas} replicas; a named one has from 0 to 1000"):
            ask(idle.folder, Request(do="start", wanted=wanted, core=idle.core))
    with pytest.raises(OutsideError, match="stage '': 1 replicas; a named one has"):
        ask(idle.folder, Request(do="start", wanted=idle.wanted(1, stage=""), core=idle.core))
    assert is_well(idle)
