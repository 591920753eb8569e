"""A daemon whose traffic leaves the plan: a real core, replicas as processes, the real planner, and queries."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import threading
import time
from contextlib import nullcontext
from dataclasses import replace

import httpx
import pytest

from inferline.tuning import Mover
from serving_adapter.client.admin import AdminClient
from serving_adapter.deployment import read_files, wanted_of
from serving_adapter.replicas import SetKey
from serving_adapter.replicas.local import LocalTarget
from tests.inferline.tuning.burst import until
from tests.inferline.tuning.conftest import Deployed, run

pytestmark = pytest.mark.live

PIPELINE = """\
version: 1
name: numbers
slo: {latency: 500ms, percentile: 95}
profiles: profiles.csv
hardware:
  slow: {price: $1/h}
  fast: {price: $2/h}
stages:
  look: {model: looker, hardware: [slow], replicas: {min: 1, max: 4}}
  read:
    model: reader
    after: [{stage: look, probability: 0.05, when: "output > 0"}]
    replicas: {min: 1, max: 8}
models:
  looker: {callable: "served:look"}
  reader: {callable: "served:read"}
workload:
  generate: {arrivals: poisson, rate: 40, duration: 60s, seed: 1}
"""

PROFILES = """\
model,hardware,batch_size,latency_mean_s,load_s
looker,slow,1,0.008,1.0
looker,slow,8,0.010,1.0
reader,slow,1,0.12,1.0
reader,fast,1,0.12,1.0
reader,fast,8,0.13,1.0
"""

MODELS = """\
import time

def look(inputs):
    time.sleep(0.006)
    return inputs

def read(inputs):
    time.sleep(0.11)
    return [2 * each for each in inputs]
"""

QUICK = ("--activation", "1s", "--settle", "2s", "--confirm-within", "15s", "--calm", "4s", "--tick", "500ms")
SOON = ("--replan-after", "4s", "--replan-every", "10min")


class Queries:
    """Queries at an even rate until the block ends; `share` of them is positive and goes on to the second stage."""

    def __init__(self, url, rate):
        self.share = 0.05
        self.failed, self.answered = [], 0
        self._url, self._rate = url, rate
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send()))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stopped.set()
        self._thread.join(60)

    async def _send(self):
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx.AsyncClient(timeout=30, limits=limits) as client, asyncio.TaskGroup() as group:
            began, number, credit = time.monotonic(), 0, 0.0
            while not self._stopped.is_set():
                await asyncio.sleep(max(0.0, began + number / self._rate - time.monotonic()))
                number, credit = number + 1, credit + self.share
                goes_on = credit >= 1
                credit -= goes_on
                group.create_task(self._one(client, 1 if goes_on else -1))

    async def _one(self, client, value):
        reply = await client.post(self._url, json={"input": value})
        said = reply.json()
        self.answered += 1
        if reply.status_code != 200 or said["default"] or said["output"] != (2 if value > 0 else -1):
            self.failed.append(said)


@pytest.fixture
def deployed(tmp_path, monkeypatch):
    """Return a deployment that was planned for one query in twenty to go on to the second stage."""
    for name, text in (("pipeline.yaml", PIPELINE), ("profiles.csv", PROFILES), ("served.py", MODELS)):
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("INFERLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run(tmp_path, "plan", "pipeline.yaml", "--out", "plan.json")
    free = ("--query-port", "0", "--admin-port", "0", "--rpc-port", "0")
    said = run(tmp_path, "deploy", "plan.json", "--pipeline", "pipeline.yaml", *free, "--format", "json")
    found = Deployed(tmp_path, json.loads(said), LocalTarget(tmp_path / "home"))
    yield found
    for daemon in found.daemons:
        if daemon.process.poll() is None:
            daemon.end(signal.SIGKILL)
        daemon.process.stderr.close()
    run(tmp_path, "undeploy", "numbers")


def sets(deployed):
    """Return the replicas that are asked for, by stage and hardware."""
    requested = deployed.target.requested("numbers")
    return {(key.stage, key.hardware): count for key, count in requested.items()}


def test_branches_shift_and_it_moves_to_other_hardware_without_losing_a_query(deployed):
    plan = json.loads((deployed.folder / "plan.json").read_text())
    assert plan["stages"]["read"]["hardware"] == "slow"
    daemon = deployed.daemon(*QUICK, *SOON, "--replan", "apply")
    daemon.await_said("tuning")
    until(lambda: daemon.health("/ready").status_code == 200)
    with Queries(deployed.told["predict_url"], 40) as queries:
        until(lambda: queries.answered > 80)
        queries.share = 0.5
        drifted = daemon.await_said("drifted", 40)
        said = daemon.await_said("replanned", 40)
        daemon.await_said("moved", 40)
        daemon.await_said("plan_changed", 10)
        before = queries.answered
        until(lambda: queries.answered > before + 80)
        told = daemon.lines
        assert not daemon.said("tick_failed"), told
        assert not daemon.said("move_failed"), told
        assert not daemon.said("unreachable"), told
        assert not daemon.said("operator"), told
        health = daemon.health("/health").text
    assert 'stage=read rule="branches shifted"' in drifted
    assert re.search(r"measured=0\.[345]\d* threshold=0\.0[3-7]", drifted), drifted
    assert "replanning: watching, last saving" in health
    assert queries.failed == []
    assert ("read", "slow") not in sets(deployed)
    assert sets(deployed)["read", "fast"] >= 1
    written = json.loads((deployed.folder / "plan.replanned.json").read_text())
    with AdminClient(deployed.told["admin_url"]) as admin:
        assert admin.get_pipeline("numbers")["plan"] == written
    assert "the plan in force misses the SLO" in said, said
    assert re.search(r"asked_usd_per_hour=[2-9] present_usd_per_hour=2 ", said), said
    metrics = daemon.health("/metrics").text
    assert 'inferline_tuner_replanning{doing="watching"} 1.0' in metrics
    assert "inferline_tuner_replan_saving_usd_per_hour" in metrics
    assert daemon.end(signal.SIGTERM) == 0
    # A daemon that is started again with the former plan's file goes on with what is deployed.
    again = deployed.daemon(*QUICK, "--replan", "off")
    again.await_said("plan_differs")
    until(lambda: again.health("/ready").status_code == 200)
    assert "replanning" not in again.health("/health").text
    assert again.end(signal.SIGTERM) == 0
    assert not again.said("unreachable"), again.lines


def test_a_move_that_fails_leaves_the_old_plan_and_the_queries_alone(deployed):
    daemon = deployed.daemon(*QUICK, *SOON, "--replan", "apply")
    daemon.await_said("tuning")
    until(lambda: daemon.health("/ready").status_code == 200)
    before = json.loads((deployed.folder / "plan.json").read_text())
    with Queries(deployed.told["predict_url"], 40) as queries:
        queries.share = 0.5
        daemon.await_said("drifted", 40)
        (deployed.folder / "served.py").write_text("raise RuntimeError('no such model')\n")
        daemon.await_said("replanned", 40)
        failed = daemon.await_said("move_failed", 60)
        answered = queries.answered
        until(lambda: queries.answered > answered + 40)
    assert "stage 'read': 0 of" in failed
    assert "no such model" in failed
    assert "the old plan is in force; what was started for the new one was stopped" in failed
    assert queries.failed == []
    assert {("look", "slow"), ("read", "slow")} == set(sets(deployed))
    with AdminClient(deployed.told["admin_url"]) as admin:
        assert admin.get_pipeline("numbers")["plan"] == before
    assert not daemon.said("plan_changed")
    assert "last failure: stage 'read'" in daemon.health("/health").text
    assert daemon.end(signal.SIGTERM) == 0


def test_what_somebody_else_deploys_is_what_it_goes_on_with(deployed):
    daemon = deployed.daemon(*QUICK, "--replan", "off")
    daemon.await_said("tuning")
    until(lambda: daemon.health("/ready").status_code == 200)
    plan = json.loads((deployed.folder / "plan.json").read_text())
    plan["stages"]["look"]["max_batch"], plan["stages"]["read"]["replicas"] = 8, 2
    (deployed.folder / "other.json").write_text(json.dumps(plan))
    run(deployed.folder, "deploy", "other.json", "--pipeline", "pipeline.yaml")
    changed = daemon.await_said("plan_changed")
    assert "read: 1 on slow with batches of 1 -> 2 on slow with batches of 1" in changed
    plan["stages"]["read"] |= {"hardware": "fast", "replicas": 1, "max_batch": 8}
    (deployed.folder / "other.json").write_text(json.dumps(plan))
    run(deployed.folder, "deploy", "other.json", "--pipeline", "pipeline.yaml")
    until(lambda: "on fast with batches of 8" in daemon.await_said("plan_changed"))
    with Queries(deployed.told["predict_url"], 60) as queries:
        queries.share = 1.0  # 60 queries/s need two, and somewhat more while queries have piled up
        until(lambda: sets(deployed)["read", "fast"] > 1)
    assert ("read", "slow") not in sets(deployed)
    assert queries.failed == []
    # What is no plan of these stages is nothing to scale by: it holds, and says so once.
    bare = {"version": 1, "stages": plan["stages"]}
    with AdminClient(deployed.told["admin_url"]) as admin:
        admin.set_plan("numbers", bare)
        assert "nothing that this daemon can scale" in daemon.await_said("unfit")
        admin.set_plan("numbers", plan)
    daemon.await_said("fits_again")
    assert daemon.end(signal.SIGTERM) == 0
    assert not daemon.said("tick_failed"), daemon.lines


def test_a_move_is_halted_and_refused(deployed):
    plan = json.loads((deployed.folder / "plan.json").read_text())
    new = json.loads(json.dumps(plan))
    new["stages"]["read"] |= {"hardware": "fast", "replicas": 2, "max_batch": 8}
    (deployed.folder / "new.json").write_text(json.dumps(new))
    present = [plan]
    mover = Mover(
        pipeline=deployed.folder / "pipeline.yaml",
        target=deployed.target,
        core=deployed.target.core("numbers"),
        query_url=deployed.told["query_url"],
        admin=lambda: AdminClient(deployed.told["admin_url"]),
        present=lambda: present[0],
        changing=lambda: nullcontext(lambda: None),
        words=lambda step: f"{step.kind} {step.key}",
        timeout_s=30,
    )
    halt, told, before = threading.Event(), [], sets(deployed)

    def tell(words):
        told.append(words)
        halt.set()

    moved = mover.move(deployed.folder / "new.json", tell, halt)
    assert [words.partition(" ")[0] for words in told] == ["start"]
    assert moved.failure == "this daemon is to change nothing more"
    assert moved.message == "the old plan is in force; what was started for the new one was stopped"
    assert sets(deployed) == before
    present[0] = new
    refused = mover.move(deployed.folder / "new.json", told.append, threading.Event())
    assert (refused.failure, refused.message) == (
        "another plan has been deployed since this one was made",
        "nothing was changed",
    )
    present[0] = plan
    file = deployed.folder / "pipeline.yaml"
    file.write_text(file.read_text().replace("$2/h", "$3/h"))
    refused = mover.move(deployed.folder / "new.json", told.append, threading.Event())
    assert "pipeline.yaml has changed since it was deployed" in refused.failure
    file.write_text(file.read_text().replace("$3/h", "$2/h"))
    # What the tuner has asked for meanwhile stays where neither hardware nor batches change.
    record = read_files(file, deployed.folder / "plan.json")
    look = wanted_of(record, {"look": "1", "read": "1"}).sets[SetKey("look", "1", "slow")]
    deployed.target.start(replace(look, replicas=3), deployed.target.core("numbers"))
    moved = mover.move(deployed.folder / "new.json", told.append, threading.Event())
    assert (moved.failure, sets(deployed)) == ("", {("look", "slow"): 3, ("read", "fast"): 2})
    assert mover.move(deployed.folder / "new.json", told.append, threading.Event()).message == "nothing was changed"


def test_scrapes_are_enough_to_plan_anew_and_the_file_says_which_plan_is_in_force(deployed, prometheus):
    daemon = deployed.daemon(*QUICK, *SOON, "--arrivals", f"prometheus://{prometheus}")
    daemon.await_said("tuning")
    until(lambda: daemon.health("/ready").status_code == 200)
    with Queries(deployed.told["predict_url"], 40) as queries:
        queries.share = 0.5
        assert "branches shifted" in daemon.await_said("drifted", 40)
        said = daemon.await_said("replanned", 40)
    command = "next: inferline deploy plan.replanned.json --pipeline pipeline.yaml --target local"
    assert said.endswith(f'{command}"')
    assert ("read", "fast") not in sets(deployed)
    assert not daemon.said("moving")
    assert "replanning: watching, last saving" in daemon.health("/health").text
    plan = json.loads((deployed.folder / "plan.json").read_text())
    plan["stages"]["read"]["replicas"] = 2
    (deployed.folder / "plan.json").write_text("{")
    daemon.await_said("plan_faulty")
    (deployed.folder / "plan.json").write_text(json.dumps(plan))
    assert "read: 1 on slow" in daemon.await_said("plan_changed")
    assert daemon.end(signal.SIGTERM) == 0
    assert not daemon.said("tick_failed"), daemon.lines
