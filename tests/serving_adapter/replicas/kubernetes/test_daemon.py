"""The daemon as a process, scaling Deployments at a real API server while a burst comes and goes.

The kubelet is an emulation: the core and the replicas are Pods that the real controllers make of the Deployments, and
their containers run as processes of this machine (`containers.py`). So what is real is the daemon, its Lease object,
the API server with etcd, the core, the replicas and their registration; what is not is the machine that a Pod is on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from serving_adapter.replicas import SetKey
from serving_adapter.replicas.kubernetes.names import core_name, set_name
from tests.inferline.tuning.burst import BEFORE_S, BURST_S, FORGETFUL, QUICK, Daemon, burst, ended, until
from tests.inferline.tuning.files import write_files
from tests.serving_adapter.replicas.kubernetes.cluster import MERGE, free_port

pytestmark = pytest.mark.kubernetes

AWAY_S = 3.0
"""How long the API server stays away after that was said."""


@pytest.fixture
def folder(kubelet, namespace, tmp_path):
    """Return the pipeline's folder, which stands for the one in the image."""
    write_files(tmp_path)
    kubelet.folders[namespace] = tmp_path
    return tmp_path


@pytest.fixture
def command(cluster, namespace, folder):
    """Return what makes a command for this namespace: its words, and where and as whom it runs."""

    def made(*words):
        where = {"cwd": folder, "env": os.environ | {"KUBECONFIG": str(cluster.kubeconfig())}, "text": True}
        return {"args": [sys.executable, "-m", "inferline", *words], **where}

    return made


@pytest.fixture
def run(command):
    def ran(*words):
        done = subprocess.run(**command(*words), capture_output=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return ran


@pytest.fixture
def deployed(run, namespace):
    """Return what deploying has said, with one replica for each stage, planned for 4 queries/s."""
    query, admin, rpc = (str(free_port()) for _ in range(3))
    ports = ("--query-port", query, "--admin-port", admin, "--rpc-port", rpc)
    there = ("--target", "kubernetes", "--namespace", namespace)
    run("plan", "pipeline.yaml", "--out", "plan.json")
    options = ("--image", "inferline:test", *ports, "--reach", "127.0.0.1", "--format", "json")
    yield json.loads(run("deploy", "plan.json", "--pipeline", "pipeline.yaml", *there, *options))
    run("undeploy", "numbers", *there)


@pytest.fixture
def daemon(command, deployed, namespace):
    """Start a daemon; its lease is a Lease object."""
    where = ("--target", "kubernetes", "--namespace", namespace, "--image", "inferline:test")
    core = ("--arrivals", deployed["admin_url"].replace("http", "core"))
    words = ("tune", "daemon", "plan.json", "--pipeline", "pipeline.yaml", *where, *core, *QUICK, *FORGETFUL)
    started = Daemon(subprocess.Popen(**command(*words, "--respect", "4s"), stderr=subprocess.PIPE))
    yield started
    ended([started])


def test_a_burst_an_operator_and_a_server_that_is_away(cluster, namespace, deployed, daemon):
    path = {
        stage: f"/apis/apps/v1/namespaces/{namespace}/deployments/{set_name('numbers', SetKey(stage, '1', 'cpu'))}"
        for stage in ("double", "add")
    }

    def requested(stage):
        return cluster.ask("GET", path[stage])["spec"]["replicas"]

    away = []

    def during(sent):
        # In the middle of the burst somebody changes a count: it stays for 4 s, and then is the policy's again.
        until(lambda: sent.time_s > BEFORE_S + BURST_S / 2)
        cluster.ask("PATCH", path["add"], {"spec": {"replicas": 5}}, kind=MERGE)
        daemon.await_said("operator stage=add", 5)
        # After the burst nobody is there to be asked: nothing changes, and queries are answered all the same.
        until(lambda: sent.time_s > BEFORE_S + BURST_S)
        cluster.stop_server()
        try:
            away.append(time.monotonic())
            daemon.await_said("unreachable", 15)
            time.sleep(AWAY_S)
        finally:
            away.append(time.monotonic())
            cluster.start_server()

    daemon.await_ready()
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{core_name('numbers')}-tuner"
    assert cluster.ask("GET", lease)["spec"]["holderIdentity"]
    met = burst(deployed["predict_url"], deployed["admin_url"], daemon, during)
    met.check()
    assert daemon.said("reconciled stage=add"), met.told()
    assert daemon.said("target_back"), met.told()
    left, back = away
    changes = [each for stage in ("double", "add") for each in daemon.scaled(stage)]
    assert not [each for each in changes if left < each.at_s < back], met.told()
    assert [each for each in changes if each.at_s >= back], met.told()  # it went on
    last = daemon.scaled("double")[-1].after
    assert requested("double") == last
    assert requested("add") < 5
    assert daemon.end(signal.SIGTERM) == 0
    assert requested("double") == last
