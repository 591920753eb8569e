"""Replicas as real processes of this machine, through the eyes of whoever asks for them."""

from __future__ import annotations

import os
import re
import signal
import socket
from dataclasses import replace

import pytest

from inferline.domain import Hardware
from inferline.errors import InputError, OutsideError
from serving_adapter.machine import this_machine
from serving_adapter.replicas import CoreAddress, CoreOptions, SetKey, is_ready, wait
from serving_adapter.replicas.local import LocalTarget
from serving_adapter.rpc.single import SingleReplica
from serving_adapter.rpc.wire import DataType

LONG_S = 30.0
RANK = SetKey("rank", "1", "cpu-1")


def seen(place):
    return {each.id: (each.key, each.phase, each.restarts) for each in place.target.list(place.deployment)}


def test_one_three_one_and_none(place):
    assert place.target.list(place.deployment) == ()
    assert place.target.requested(place.deployment) == {}
    one = place.start(1)
    wait(place.target, one, LONG_S)
    first = place.target.list(place.deployment)
    assert seen(place) == {"rank-0": (RANK, "ready", 0)}
    three = place.start(3)
    assert not is_ready(place.target, three)
    wait(place.target, three, LONG_S)
    assert seen(place) == {f"rank-{number}": (RANK, "ready", 0) for number in range(3)}
    assert place.target.requested(place.deployment) == {RANK: 3}
    cores = this_machine().cores
    pids = place.pids()
    pinned = [os.sched_getaffinity(pids[f"rank-{number}"]) for number in range(3)]
    assert pinned == [{(cores[1:] + cores[:1])[number % len(cores)]} for number in range(3)]
    place.start(3)
    place.start(1)
    place.until(lambda: place.phases() == {"rank-0": "ready"})
    assert place.target.list(place.deployment)[0].since_s == first[0].since_s
    assert place.pids() == {"rank-0": pids["rank-0"]}
    place.start(0)
    place.until(lambda: not place.phases())
    assert place.target.requested(place.deployment) == {RANK: 0}
    assert place.pids() == {}
    place.target.stop(place.deployment, RANK)
    assert place.target.requested(place.deployment) == {}
    place.target.close()


def test_a_killed_replica_is_replaced_where_it_was(place):
    wanted = place.start(2, **place.quick)
    wait(place.target, wanted, LONG_S)
    before = place.pids()
    core = os.sched_getaffinity(before["rank-0"])
    os.kill(before["rank-0"], signal.SIGKILL)
    place.until(lambda: place.found("rank-0", "ready", 1))
    reason = "was killed, which is what happens when memory runs out; it last wrote: here"
    assert f"event=ended id=rank-0 failures=1 reason={reason}\n" in (place.folder / "supervisor.log").read_text()
    assert seen(place) == {"rank-0": (RANK, "ready", 1), "rank-1": (RANK, "ready", 0)}
    after = place.pids()
    assert after["rank-1"] == before["rank-1"]
    assert after["rank-0"] != before["rank-0"]
    assert os.sched_getaffinity(after["rank-0"]) == core


def test_a_model_that_cannot_load_says_why_until_it_can(place):
    wanted = place.start(1, target="served:nothing")
    reason = (
        "ended with exit code 1; it last wrote: event=refused code=1 "
        "message=\"INFERLINE_MODEL: models.cascade.rank.callable: module 'served' has no 'nothing'\""
    )
    seen = set()

    def look():
        replicas = place.target.list(place.deployment)
        seen.update((each.phase, re.sub(r" in \d+\.\d s$", "", each.message)) for each in replicas)
        return [each for each in replicas if each.restarts == 2]

    place.until(look)
    assert seen - {("starting", "")} == {
        ("failed", f"{reason}; it starts again"),
        ("starting", f"before, it {reason}"),
    }
    with pytest.raises(OutsideError, match=r"^stage 'rank': 0 of 1 replicas .*; rank-0 is .* has no 'nothing'"):
        wait(place.target, wanted, 0)
    with (place.models / "served.py").open("a") as module:
        module.write("\nnothing = double\n")
    wait(place.target, wanted, LONG_S)
    ready = place.target.list(place.deployment)[0]
    assert (ready.phase, ready.message, ready.restarts >= 2) == ("ready", "", True)


def test_a_batch_in_hand_is_answered_before_a_replica_ends(place):
    server = SingleReplica()
    place.core = CoreAddress(host="127.0.0.1", rpc_port=server.port)
    place.start(1, target="served:when_told")
    server.await_registration(LONG_S)
    log = []

    def stop():
        if not log and (place.models / "begun").exists():
            place.start(0)
            log.append(place.phases())
        if log == [{"rank-0": "stopping"}]:
            (place.models / "go").touch()
            log.append("go")

    assert server.predict(DataType.STRINGS, [b"7"], LONG_S, stop)[0] == [b"7"]
    assert log == [{"rank-0": "stopping"}, "go"]
    place.until(lambda: not place.phases())
    server.close()


def test_what_runs_goes_on_and_what_is_started_follows_what_was_asked_last(place):
    command = {"kind": "container", "target": "image"}
    says = {
        word: {"command": ["sh", "-c", f'echo {word}; touch "$INFERLINE_READY_FILE"; exec sleep 300']}
        for word in "ab"
    }
    wait(place.target, place.start(1, options=says["a"], **command), LONG_S)
    before = place.pids()
    wait(place.target, place.start(2, options=says["b"], **command), LONG_S)
    assert place.pids()["rank-0"] == before["rank-0"]
    os.kill(before["rank-0"], signal.SIGKILL)
    place.until(lambda: place.found("rank-0", "ready", 1))
    assert [(place.folder / "logs" / f"rank-{number}.log").read_text() for number in range(2)] == ["a\nb\n", "b\n"]


def test_sets_of_other_versions_and_stages_are_apart(place):
    command = {"kind": "container", "target": "image", "options": {"command": ["sleep", "300"]}}
    place.start(1, **command)
    place.start(1, version="2", **command)
    place.start(1, stage="../a b", cpus=0.5, **command)
    keys = [RANK, SetKey("rank", "2", "cpu-1"), SetKey("../a b", "1", "cpu-0.5")]
    assert list(place.target.requested(place.deployment)) == keys
    place.until(lambda: set(place.phases().values()) == {"ready"})
    ids = {each.key: each.id for each in place.target.list(place.deployment)}
    assert [ids[key] for key in keys[:2]] == ["rank-0", "rank-1"]
    assert re.fullmatch("_a_b-[0-9a-f]{12}-0", ids[keys[2]])
    assert {each.name for each in (place.folder / "logs").iterdir()} == {f"{each}.log" for each in ids.values()}
    place.target.stop(place.deployment, keys[0])
    assert list(place.target.requested(place.deployment)) == keys[1:]
    place.until(lambda: "rank-0" not in place.phases())
    assert {each.key for each in place.target.list(place.deployment)} == set(keys[1:])


@pytest.mark.parametrize("deployment", ["../../outside", "a\n\0b", "x" * 300])
def test_no_name_leads_out_of_the_folder(place, deployment):
    wanted = replace(place.wanted(0), deployment=deployment)
    place.target.start(wanted, place.core)
    assert place.target.requested(deployment) == {RANK: 0}
    (folder,) = place.home.iterdir()
    assert (folder / "wanted.json").exists()
    assert sorted(each.name for each in place.models.iterdir()) == ["home", "served.py"]
    place.target.stop(deployment)


def test_a_long_path_is_none_too_long(place):
    place.home = place.home.joinpath(*["long" * 20] * 3)
    place.target = LocalTarget(place.home)
    place.start(0)
    assert place.target.requested(place.deployment) == {RANK: 0}
    assert (place.home / place.deployment / "control.sock").is_socket()


def test_what_this_place_does_not_have_is_refused(place):
    wanted = place.wanted(1)
    gpu = Hardware(name="gpu", price_nano_usd_per_hour=0, accelerator="no-such-accelerator")
    with pytest.raises(OutsideError, match=r"hardware 'gpu' needs 1 no-such-accelerator; .*; take another target"):
        place.target.start(replace(wanted, hardware=gpu), place.core)
    apart = Hardware(name="apart", price_nano_usd_per_hour=0, isolation="gvisor")
    with pytest.raises(OutsideError, match="hardware 'apart' asks for isolation by gvisor"):
        place.target.start(replace(wanted, hardware=apart), place.core)
    with pytest.raises(InputError, match=r"models\.rank\.command: is not set; the local target runs processes"):
        place.start(1, kind="container", target="image")
    with pytest.raises(InputError, match="stage 'rank': -1 replicas; expected at least 0"):
        place.start(-1)
    assert place.target.requested(place.deployment) == {}


def test_more_replicas_than_cores_are_started_and_told(place):
    cores = len(this_machine().cores)
    wanted = place.start(cores + 1, **place.quick)
    wait(place.target, wanted, LONG_S)
    shared = [each.message for each in place.target.list(place.deployment) if each.message]
    assert len(shared) == 2
    assert set(shared) == {f"over-subscribed: 2 CPUs are promised of core {(this_machine().cores * 2)[1]}"}


def test_a_port_that_is_taken_is_named(place):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = CoreOptions(query_port=0, admin_port=port, rpc_port=0)
        with pytest.raises(OutsideError, match=rf"127\.0\.0\.1:{port}: Address already in use; take another port"):
            place.target.start_core(place.deployment, options)
    with pytest.raises(OutsideError, match=r"cannot listen on 192\.0\.2\.1:0: Cannot assign requested address"):
        place.target.start_core(place.deployment, CoreOptions(host="192.0.2.1", query_port=0))
    assert place.pids() == {}


def test_a_core_that_does_not_start_says_why(place):
    options = CoreOptions(query_port=0, admin_port=0, rpc_port=0, arguments=("--cache-bytes", "-1"))
    with pytest.raises(OutsideError) as caught:
        place.target.start_core(place.deployment, options)
    said = str(caught.value)
    assert said.startswith("the serving core of 'cascade' does not start; ended with exit code 2; it last wrote: ")
    assert "-1 is not in the range x>=0" in said
    assert said.endswith(f"(see {place.folder / 'logs' / 'core.log'})")


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    target = LocalTarget(tmp_path / "file")
    with pytest.raises(OutsideError, match="cannot be made: File exists; set INFERLINE_HOME"):
        target.start_core("d", CoreOptions())
    assert target.list("d") == ()
