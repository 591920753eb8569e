"""Servers in processes of their own, and runs against them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferline.domain import even_trace
from serving_adapter.load import LoadSpec, bodies, run

SERVERS = Path(__file__).with_name("servers.py")


def serving(kind: str) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, str(SERVERS), kind], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def uvicorn_echo() -> Iterator[str]:
    yield from serving("uvicorn")


@pytest.fixture(scope="session")
def odd() -> Iterator[str]:
    yield from serving("odd")


@pytest.fixture
def send(odd):
    """Send so many queries to a path of the odd server, evenly; their inputs are [0.0], [1.0], [2.0] ..."""

    def send_to(path, *, queries=20, rate=200, url=odd, **options):
        return run(
            LoadSpec(
                url=f"{url}/{path}",
                bodies=bodies([[float(each)] for each in range(queries)]),
                traffic=even_trace(rate=rate, queries=queries),
                **options,
            )
        )

    return send_to
