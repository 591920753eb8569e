"""Holding a lease while something is done, beside others that want to."""

from __future__ import annotations

import subprocess
import sys
from time import monotonic, sleep

import pytest

from inferline.errors import OutsideError
from serving_adapter.leases import FileLease, holding

HOLDER = """
import sys
from pathlib import Path
from serving_adapter.leases import FileLease, holding
with holding(FileLease(Path(sys.argv[1]), "the first one"), "small"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_it_is_held_for_the_block_and_the_second_is_told_by_whom(tmp_path):
    path = tmp_path / "lease"
    command = [sys.executable, "-c", HOLDER, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        second = holding(FileLease(path), "small")
        with pytest.raises(OutsideError, match="small is being changed by the first one; nothing was done"):
            second.__enter__()
        first.stdin.close()
        assert first.wait(10) == 0
        with holding(FileLease(path), "small") as check:
            check()
            assert FileLease(path).hold() is None


def test_it_is_given_back_whatever_happens_in_the_block(tmp_path):
    with pytest.raises(ValueError, match="no good"), holding(FileLease(tmp_path / "lease"), "small"):
        raise ValueError("no good")
    second = FileLease(tmp_path / "lease")
    assert second.hold() is not None
    second.release()


def test_who_has_lost_it_changes_nothing_more(tmp_path):
    path = tmp_path / "lease"
    second = FileLease(path, "the second one")
    with holding(FileLease(path), "small") as check:
        check()
        path.unlink()
        assert second.hold() is not None
        with pytest.raises(OutsideError, match="small may be changed by the second one by now"):
            again_and_again(check)
    second.release()


def again_and_again(check):
    end = monotonic() + 10
    while monotonic() < end:
        check()
        sleep(0.05)
