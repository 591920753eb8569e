"""``inferline serve``, as users start, reach and end it."""

import os
import re
import resource
import select
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

FREE = ("--query-port", "0", "--admin-port", "0", "--rpc-port", "0")
SERVE = [sys.executable, "-c", "from inferline.cli import main; main()", "serve", *FREE]


@pytest.fixture
def taken():
    """Return a port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield str(listener.getsockname()[1])


@pytest.fixture
def start(folder):
    """Return what starts a server: its process, and its ports for queries, administration and containers."""
    started = []

    def begin(*arguments, **environment):
        process = subprocess.Popen(
            [*SERVE, *arguments], stderr=subprocess.PIPE, text=True, cwd=folder, env=os.environ | environment
        )
        started.append(process)
        lines = []
        while not lines or not lines[-1].startswith("model containers"):
            lines.append(process.stderr.readline())
            assert lines[-1], lines
        ports = [int(port) for port in re.findall(r"//[^ ]+:(\d+)", "".join(lines[-2:]))]
        return process, ports

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_when_told(start, folder, number):
    process, (query, admin, rpc) = start()
    assert httpx.get(f"http://127.0.0.1:{query}/ready").json() == {"status": "ready"}
    assert httpx.get(f"http://127.0.0.1:{admin}/admin/ping").text == "PONG"
    with socket.create_connection(("127.0.0.1", rpc)) as connection:
        assert connection.recv(1) == b"\xff"  # ZeroMQ's greeting
    process.send_signal(number)
    _, said = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "event=stopped unanswered=0" in said
    assert (folder / "inferline-state.sqlite").exists()


def test_the_token_may_come_from_the_environment(start):
    _, (_, admin, _) = start("--state", "memory://", INFERLINE_ADMIN_TOKEN="secret")
    url = f"http://127.0.0.1:{admin}/admin/get_all_models"
    statuses = [
        httpx.post(url, json={"verbose": False}, headers=headers).status_code
        for headers in ({}, {"authorization": "Bearer secret"})
    ]
    assert statuses == [401, 200]


def test_as_many_files_may_be_open_as_connections_are_allowed(start):
    process, _ = start("--state", "memory://", "--connections", "300")
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    soft, hard = re.search(r"Max open files +(\d+) +(\d+)", limits).groups()
    assert int(soft) >= min(2 * 300 + 4096, int(hard))


def test_without_files_left_it_takes_who_is_there_and_goes_on(start):
    process, (query, _, _) = start("--state", "memory://")
    used = len(os.listdir(f"/proc/{process.pid}/fd"))
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (used + 3, used + 3))
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", query))) for _ in range(6)]
        for client in clients:
            client.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        while clients:  # who has been answered makes room for the next
            answered, _, _ = select.select(clients, [], [], 5)
            assert answered
            for client in answered:
                assert client.recv(12) == b"HTTP/1.1 200"
                client.close()
                clients.remove(client)
    process.terminate()
    _, said = process.communicate(timeout=10)
    assert process.returncode == 0
    assert 1 <= said.count("event=connection_not_taken") < 10


def test_an_address_of_the_other_kind(start):
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    _, (query, _, rpc) = start("--state", "memory://", "--host", "::1")
    assert httpx.get(f"http://[::1]:{query}/health").status_code == 200
    with socket.create_connection(("::1", rpc)) as connection:
        assert connection.recv(1) == b"\xff"


@pytest.mark.parametrize("option", ["--query-port", "--admin-port", "--rpc-port"])
def test_a_port_that_is_taken(run, taken, option):
    ended = run("serve", *FREE, option, taken, "--state", "memory://")
    assert (ended.code, "Traceback" in ended.err) == (4, False)
    assert re.search(rf"failed: cannot listen .*127\.0\.0\.1:{taken}: .*[Aa]ddress already in use", ended.err)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--state", "mysql://h"), 2, "names no state; accepted are memory://, sqlite:///FILE"),
        (("--state", "redis://127.0.0.1:1"), 4, "Redis at 127.0.0.1:1: "),
        (("--state", "sqlite:///absent/state.db"), 2, "is its directory there, and are both writable?"),
        (("--host", "no.such.name.invalid"), 4, "cannot listen on no.such.name.invalid: "),
        (("--host", "192.0.2.1"), 4, "cannot listen "),
        (("--tls-key", "pipeline.yaml"), 2, "--tls-key needs --tls-certificate"),
        (("--tls-certificate", "pipeline.yaml"), 2, "TLS certificate or key cannot be used"),
        (("--tls-certificate", "absent.pem"), 2, "'absent.pem' does not exist"),
        (("--order", "size"), 2, "'size' is not one of 'arrival', 'deadline'"),
        (("--drain", "soon"), 2, "soon"),
        (("--query-port", "65536"), 2, "65536 is not in the range 0<=x<=65535"),
    ],
)
def test_what_is_wrong_is_named(run, arguments, code, said):
    ended = run("serve", *FREE, "--state", "memory://", *arguments)
    assert (ended.code, said in ended.err, "Traceback" in ended.err) == (code, True, False), ended.err


def test_without_its_extra_it_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    ended = run("serve")
    assert (ended.code, ended.err) == (2, "error: serve needs uvloop: pip install 'inferline[serve]'\n")


def test_a_second_server_on_one_file_is_refused(start, run):
    start("--state", "sqlite:///one.db")
    ended = run("serve", *FREE, "--state", "sqlite:///one.db")
    assert (ended.code, "is open in another process" in ended.err) == (4, True)
