"""A Redis of one's own on a free loopback port, ended by its process."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from time import monotonic, sleep

import pytest
import redis

START_S = 10.0

StartRedis = Callable[..., tuple[subprocess.Popen[bytes], int]]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def await_answer(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = monotonic() + START_S
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=START_S) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(64):  # even "-NOAUTH" is an answer
                    return
        except OSError:
            if process.poll() is not None or monotonic() > deadline:
                output = process.communicate(timeout=START_S)[0] if process.poll() is not None else b""
                pytest.fail(f"redis-server did not start on port {port}: {output.decode(errors='replace')[-500:]}")
            sleep(0.01)  # between two attempts to connect


@pytest.fixture(scope="session")
def start_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartRedis]:
    """Return what starts a Redis that keeps nothing on disk: its process, and its port. Each is ended in the end."""
    program = shutil.which("redis-server")
    if program is None:
        say = pytest.fail if "CI" in os.environ else pytest.skip
        say("these tests run a real Redis: install redis-server (apt-get install redis-server)")
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, port: int | None = None) -> tuple[subprocess.Popen[bytes], int]:
        port = port or free_port()
        where = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(tmp_path_factory.mktemp("redis"))]
        command = [program, *where, "--save", "", "--appendonly", "no", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        started.append(process)
        await_answer(process, port)
        return process, port

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=START_S)


@pytest.fixture(scope="session")
def shared_redis_port(start_redis: StartRedis) -> int:
    return start_redis()[1]


@pytest.fixture
def redis_port(shared_redis_port: int) -> int:
    """Return the port of an empty Redis that notifies of nothing."""
    with redis.Redis(port=shared_redis_port) as client:
        client.flushall()
        client.config_set("notify-keyspace-events", "")
    return shared_redis_port
