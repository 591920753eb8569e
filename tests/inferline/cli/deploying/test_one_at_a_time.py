"""Of two commands that change a deployment at once, the second does nothing and says who the first is."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from serving_adapter.leases import FileLease
from tests.inferline.cli.deploying.served_numbers import (
    COMMAND,
    FREE,
    PIPELINE,
    PIPELINE_OPTION,
    ask,
    processes,
    requested,
    status,
    until,
    write,
)


@pytest.fixture
def slow(deploy, folder):
    """Return a deployment, and a deploy that goes on until it is ended: the next version of a model does not load."""
    told = deploy()
    (folder / "pipeline.yaml").write_text(PIPELINE.replace("served:add", "served:AddOnceTold"))
    first = subprocess.Popen(
        [*COMMAND, "deploy", "plan.json", *PIPELINE_OPTION, *FREE], stderr=subprocess.PIPE, text=True, cwd=folder
    )
    with first:
        until((folder / "loading").exists)
        yield told, first
        first.kill()


def test_the_second_is_told_who_is_at_it_and_what_to_do(slow, run, folder, home):
    told, first = slow
    write(folder, "more.json", double=("cpu", 3, 1))
    before = processes(home)
    for arguments in (("deploy", "more.json", *PIPELINE_OPTION, *FREE), ("undeploy", "numbers")):
        ended = run(*arguments)
        assert ended.code == 4
        pattern = (
            r"failed: pipeline 'numbers' at target local is being changed by inferline deploy plan\.json "
            rf"\(process {first.pid} on {re.escape(socket.gethostname())}, since [-0-9]+ [:0-9]+[-+][:0-9]+\); "
            r"nothing was done\. Wait until that has ended, or end it, and say the same command again\n"
        )
        assert re.fullmatch(pattern, ended.err), ended.err
    assert processes(home) == before
    assert requested(status(run, told), "double") == {("1", "cpu"): 1}
    (folder / "go").touch()
    assert first.wait(30) == 0
    assert run("deploy", "more.json", *PIPELINE_OPTION, *FREE).code == 0
    assert requested(status(run, told), "double") == {("1", "cpu"): 3}


def test_one_that_was_killed_is_in_nobodys_way(slow, run, folder):
    _, first = slow
    first.kill()
    first.wait(10)
    (folder / "go").touch()
    ended = run("deploy", "plan.json", *PIPELINE_OPTION, *FREE)
    assert ended.code == 0, ended.err
    assert "switch to the plan, and to add" in ended.err


def test_one_that_has_lost_its_lease_changes_nothing_more(slow, folder, home):
    told, first = slow
    lease = home / "numbers.local.changing"
    lease.unlink()
    second = FileLease(lease, "somebody else")
    assert second.hold() is not None
    until(lambda: not any(lease.name in each for each in opened_by(first)))  # it looks every two seconds
    (folder / "go").touch()
    _, said = first.communicate(timeout=30)
    assert first.returncode == 4
    assert "failed: pipeline 'numbers' at target local may be changed by somebody else by now" in said
    assert "queries go to the former plan, of which nothing was stopped" in said
    assert ask(told, 3) == 7
    second.release()


def opened_by(process):
    """Return the files that a process has open."""
    found = []
    for each in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(OSError):
            found.append(os.readlink(each))
    return found


def test_other_pipelines_are_not_in_the_way(slow, run, home):
    (home.parent / "guests.yaml").write_text(PIPELINE.replace("name: numbers", "name: guests"))
    ended = run("undeploy", "guests.yaml")
    assert (ended.code, ended.out) == (0, "guests: nothing of it is at target local\n")
