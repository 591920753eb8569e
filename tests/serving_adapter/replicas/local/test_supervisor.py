"""What a supervisor does when processes die, itself included, with a real serving core."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from inferline.errors import OutsideError
from serving_adapter.replicas import SetKey, wait

LONG_S = 30.0
RANK = SetKey("rank", "1", "cpu-1")


class Core:
    """The interfaces of a serving core."""

    def __init__(self, address):
        self.address = address
        self._admin = f"http://{address.host}:{address.admin_port}/admin"
        self._query = f"http://{address.host}:{address.query_port}"

    def ask(self, path, **document):
        reply = httpx.post(f"{self._admin}/{path}", json=document, timeout=LONG_S)
        assert reply.status_code == 200, reply.text
        return reply

    def register(self, model):
        """Have an application ask the model of a stage."""
        strings = {"input_type": "strings"}
        self.ask("add_app", name="app", default_output="-", latency_slo_micros=20_000_000, **strings)
        fixed = {"labels": [], "container_name": "x", "model_data_path": "x", "batch_size": 1}
        self.ask("add_model", model_name=model, model_version="1", **fixed, **strings)
        self.ask("add_model_links", app_name="app", model_names=[model])

    def applications(self):
        return self.ask("get_all_applications", verbose=False).json()

    def containers(self):
        return self.ask("get_all_containers", verbose=False).json()

    def predict(self, value):
        return httpx.post(f"{self._query}/app/predict", json={"input": value}, timeout=LONG_S).json()


def supervise(folder, *more):
    command = [sys.executable, "-m", "serving_adapter.replicas.local.supervisor", str(folder), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=LONG_S, check=False)


def test_the_core_answers_and_nothing_of_a_stopped_deployment_is_left(place):
    place.core = place.start_core()
    core = Core(place.core)
    core.register("cascade.rank")
    wanted = place.start(1)
    wait(place.target, wanted, LONG_S)
    place.until(core.containers)
    assert core.predict("21") == {"query_id": 0, "output": 42, "default": False}
    assert place.start_core() == place.target.core(place.deployment) == place.core
    assert sorted(place.pids()) == ["core", "rank-0"]
    place.target.stop(place.deployment)
    assert place.target.requested(place.deployment) == {}
    place.until(lambda: not place.is_looked_after())
    assert place.pids() == {}
    assert place.target.list(place.deployment) == ()
    place.target.stop(place.deployment)
    assert place.target.core(place.deployment) is None
    assert sorted(each.name for each in place.folder.iterdir()) == ["lock", "logs", "ready", "supervisor.log"]
    assert list((place.folder / "ready").iterdir()) == []
    place.core = place.start_core()
    assert Core(place.core).applications() == []


def test_a_core_that_dies_comes_back_where_it_was(place):
    before = place.start_core()
    core = Core(before)
    core.register("cascade.rank")
    pid = place.pids()["core"]
    os.kill(pid, signal.SIGKILL)
    place.until(lambda: place.pids().get("core") not in {None, pid})
    assert place.start_core() == before
    assert core.applications() == ["app"]


def test_the_batch_in_hand_is_answered_before_all_is_stopped(place):
    place.core = place.start_core()
    core = Core(place.core)
    core.register("cascade.rank")
    wanted = place.start(1, target="served:when_told")
    wait(place.target, wanted, LONG_S)
    place.until(core.containers)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(core.predict, "7")
        place.until((place.models / "begun").exists)
        place.target.stop(place.deployment)
        assert place.target.core(place.deployment) is None
        assert place.target.requested(place.deployment) == {}
        assert place.phases() == {"rank-0": "ready"}
        (place.models / "go").touch()
        assert answer.result(LONG_S) == {"query_id": 0, "output": 7, "default": False}
    place.until(lambda: not place.is_looked_after())
    assert place.pids() == {}


def test_nothing_outlives_a_killed_supervisor_and_the_next_call_takes_up(place):
    place.core = place.start_core()
    wanted = place.start(2, **place.quick)
    wait(place.target, wanted, LONG_S)
    before = place.pids()
    assert sorted(before) == ["core", "rank-0", "rank-1"]
    os.kill(place.supervisor(), signal.SIGKILL)
    place.until(lambda: place.pids() == {})
    place.until(lambda: not place.is_looked_after())
    assert place.target.requested(place.deployment) == {RANK: 2}
    wait(place.target, wanted, LONG_S)
    assert place.start_core() == place.core
    assert not set(place.pids().values()) & set(before.values())


def test_what_replicas_had_started_apart_does_not_stay_for_ever(place):
    begin = 'setsid sleep 300 & echo $! > "$INFERLINE_FOLDER/apart"; touch "$INFERLINE_READY_FILE"; exec sleep 300'
    wanted = place.start(1, kind="container", target="image", options={"command": ["sh", "-c", begin]})
    wait(place.target, wanted, LONG_S)
    apart = int((place.models / "apart").read_text())
    os.kill(place.supervisor(), signal.SIGKILL)
    place.until(lambda: not place.is_looked_after())
    assert place.target.requested(place.deployment) == {RANK: 1}
    place.until(lambda: is_gone(apart))
    wait(place.target, wanted, LONG_S)
    apart = int((place.models / "apart").read_text())
    assert not is_gone(apart)
    place.target.stop(place.deployment)
    place.until(lambda: not place.is_looked_after())
    place.until(lambda: is_gone(apart))


def test_a_supervisor_that_is_told_to_end_ends_well_and_keeps_in_mind(place):
    wanted = place.start(1, target="served:double")
    wait(place.target, wanted, LONG_S)
    os.kill(place.supervisor(), signal.SIGTERM)
    place.until(lambda: not place.is_looked_after())
    assert place.pids() == {}
    assert "event=stopped" in (place.folder / "logs" / "rank-0.log").read_text()
    assert "event=stopped id=rank-0 code=0" in (place.folder / "supervisor.log").read_text()
    assert place.target.requested(place.deployment) == {RANK: 1}
    wait(place.target, wanted, LONG_S)


def test_stopping_what_a_killed_supervisor_kept_starts_none_of_it(place):
    place.start(0)
    os.kill(place.supervisor(), signal.SIGKILL)
    place.until(lambda: not place.is_looked_after())
    wanted = (place.folder / "wanted.json").read_text()
    (place.folder / "wanted.json").write_text(wanted.replace('"replicas":0', '"replicas":3'))
    place.target.stop(place.deployment)
    place.until(lambda: not place.is_looked_after())
    assert list((place.folder / "logs").iterdir()) == []
    assert not (place.folder / "wanted.json").exists()


def test_there_is_one_supervisor(place):
    place.start(0)
    second = supervise(place.folder)
    assert second.returncode == 4
    assert second.stderr.endswith("another supervisor looks after this deployment\n")
    assert place.target.requested(place.deployment) == {RANK: 0}


def test_many_who_ask_at_once_get_one_supervisor(place):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda version: place.start(0, version=str(version)), range(4)))
    assert set(place.target.requested(place.deployment)) == {SetKey("rank", str(v), "cpu-1") for v in range(4)}
    assert (place.folder / "supervisor.log").read_text().count("event=listening") == 1


def test_what_cannot_be_taken_up_is_told(place):
    place.folder.mkdir(parents=True)
    (place.folder / "wanted.json").write_text("{")
    with pytest.raises(OutsideError, match=r"does not start: .*wanted\.json cannot be read .*; remove it to forget"):
        place.target.list(place.deployment)
    (place.folder / "wanted.json").unlink()
    assert place.target.list(place.deployment) == ()


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
