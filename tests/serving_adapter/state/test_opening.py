"""What names a state, and what does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from inferline.errors import InputError
from serving_adapter.state import open_state


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "names no state; accepted are memory://, sqlite:///FILE"),
        ("memory", "memory: names no state"),
        ("memory://x", "memory://x: names no state"),
        ("sqlite://", "sqlite://: names no state"),
        ("sqlite:///", "sqlite:///: names no state"),
        ("sqlite://state.db", "sqlite://state.db: names no state"),
        ("postgres://h/db", r"postgres://h/db: names no state; .* or redis://\[\[USER\]:PASSWORD@\]HOST\[:PORT\]$"),
        ("redis://", "redis://: is no address of a Redis"),
        ("redis://:6379", "redis://:6379: is no address of a Redis"),
        ("redis://h:x", "redis://h:x: Port could not be cast"),
        ("redis://h:70000", "redis://h:70000: Port out of range"),
        ("redis://h/3", "redis://h/3: Clipper's schema fixes the database numbers: leave '/3' out"),
        ("redis://h?db=3", r"redis://h\?db=3: is no address of a Redis"),
        ("redis://[::1", r"redis://\[::1: Invalid IPv6 URL"),
    ],
)
def test_what_names_no_state(url, message):
    with pytest.raises(InputError, match=message):
        open_state(url)


@pytest.mark.parametrize("url", ["redis://u:se@cret@h/1", "redis://u:se@cret@h:x", "redis2://u:se@cret@h"])
def test_passwords_are_not_shown(url):
    with pytest.raises(InputError, match=r"//\*\*\*@h") as caught:
        open_state(url)
    assert "se@cret" not in str(caught.value)
    assert "cret" not in str(caught.value)


def test_the_client_of_redis_is_asked_for_only_when_needed():
    program = """
import asyncio, sys
sys.modules["redis"] = None  # as if it were not installed
from inferline.errors import InputError
from serving_adapter.state import open_state
asyncio.run(open_state("memory://").close())
try:
    open_state("redis://:secret@127.0.0.1:1")
except InputError as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "redis://***@127.0.0.1:1 needs redis: pip install 'inferline[serve]'\n"
