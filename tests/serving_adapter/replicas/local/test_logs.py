"""Logs of bounded size, and the last that was said in them."""

from __future__ import annotations

import os

import pytest

from serving_adapter.replicas.local.logs import last_words, open_log, trim


def test_a_large_log_is_put_aside_while_it_is_written_to(tmp_path):
    path = tmp_path / "rank-0.log"
    log = open_log(path)
    for number in range(10):
        os.write(log, b"%03d\n" % number * 5)
        trim(path, 60)
    os.close(log)
    assert (tmp_path / "rank-0.log.1").read_text() == "".join(f"{n:03d}\n" * 5 for n in (5, 6, 7))
    assert path.read_text() == "008\n" * 5 + "009\n" * 5
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_log_is_no_fault(tmp_path):
    trim(tmp_path / "none")
    assert last_words(tmp_path / "none") == ""


@pytest.mark.parametrize(
    ("text", "start", "said"),
    [
        ("", 0, ""),
        ("one\n\n  two  \nthree\nfour\n", 0, "two / three / four"),
        ("one\ntwo\n", 4, "two"),
        ("one\ntwo\n", 400, "one / two"),
        ("time=1 level=ERROR event=refused\ntime=2 level=ERROR event=failed\nTraceback\n", 0, "event=failed"),
        ("x" * 100_000 + "\nlast\n", 0, "x" * 500 + " / last"),
    ],
)
def test_last_words(tmp_path, text, start, said):
    path = tmp_path / "log"
    path.write_text(text)
    assert last_words(path, start) == said
