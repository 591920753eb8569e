"""Who leads: locks on files, and keys in a real Redis."""

from __future__ import annotations

import subprocess
import sys
from socket import socket
from time import monotonic, monotonic_ns, sleep

import pytest
import redis

from inferline.errors import InputError, OutsideError
from serving_adapter.leases import FileLease, RedisLease

HOLDER = """
import sys
from pathlib import Path
from serving_adapter.leases import FileLease
lease = FileLease(Path(sys.argv[1]))
print(lease.hold() is not None, flush=True)
sys.stdin.read()
"""


def test_a_file_is_free_when_its_holder_is_killed(tmp_path):
    path = tmp_path / "folder" / "lease"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "True\n"
        second = FileLease(path)
        assert second.hold() is None
        holder.kill()
        holder.wait(10)
        assert second.hold() > monotonic_ns()
        assert FileLease(path).hold() is None
    second.release()
    third = FileLease(path)
    assert third.hold() is not None
    third.release()


def test_a_file_that_was_removed_is_not_held_twice(tmp_path):
    first, second = FileLease(tmp_path / "lease"), FileLease(tmp_path / "lease")
    assert first.hold() is not None
    (tmp_path / "lease").unlink()
    assert second.hold() is not None
    assert first.hold() is None
    second.release()


def test_a_file_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutsideError, match=r"cannot be taken: (Not a directory|File exists)"):
        FileLease(tmp_path / "file" / "lease").hold()


def test_a_key_is_renewed_and_ends_with_its_holder(redis_port):
    url = f"redis://127.0.0.1:{redis_port}"
    first, second = (RedisLease(url, "small", ttl_s=0.4) for _ in range(2))
    asked_ns = monotonic_ns()
    until_ns = first.hold()
    assert asked_ns < until_ns < monotonic_ns() + 400_000_000  # it stops before Redis does
    assert second.hold() is None
    assert first.hold() > until_ns
    end = monotonic() + 5
    while second.hold() is None:  # the first one hangs
        assert monotonic() < end
        sleep(0.01)
    assert monotonic_ns() > until_ns
    assert first.hold() is None
    with redis.Redis(port=redis_port) as client:
        number, _, _ = client.get("inferline:lease:small").partition(b":")
        assert int(number) == 2
        second.release()
        assert client.get("inferline:lease:small") is None
    assert first.hold() is not None
    first.release()


def test_a_redis_that_is_not_there():
    with socket() as listener:  # nobody listens there
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    lease = RedisLease(f"redis://:secret@127.0.0.1:{port}", "small")
    with pytest.raises(OutsideError, match="the lease at 127") as failed:
        lease.hold()
    assert "secret" not in str(failed.value)
    with pytest.raises(InputError, match="write it like redis://HOST:6379"):
        RedisLease("http://127.0.0.1", "small")
