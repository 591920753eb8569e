"""A pipeline whose replicas are killed, and whose plan changes, while queries go on; its containers run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.serving_adapter.replicas.kubernetes.cluster import LONG_S, free_port, until

pytestmark = pytest.mark.kubernetes

PIPELINE = """\
version: 1
name: numbers
slo: {latency: 20s, percentile: 99}
profiles: profiles.csv
hardware:
  cpu:  {price: $0.05/h}
  fast: {price: $0.10/h, limit: 2}
stages:
  double: {model: doubler}
  add: {model: adder, after: [double]}
models:
  doubler: {callable: "served:double"}
  adder: {callable: "served:add"}
workload:
  generate: {arrivals: even, rate: 1, duration: 10s}
"""

MODELS = """\
def double(inputs):
    return [2 * each for each in inputs]

def add(inputs):
    return [each + 1 for each in inputs]
"""

QUERIES = 300


@pytest.fixture
def deploy(cluster, kubelet, namespace, tmp_path):
    """Return what deploys a plan of (hardware, replicas, maximum batch size) for both stages."""
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "served.py").write_text(MODELS)
    kubelet.folders[namespace] = tmp_path
    admin_port = free_port()
    ports = (f"--query-port={free_port()}", f"--admin-port={admin_port}", f"--rpc-port={free_port()}")
    place = (
        "--target=kubernetes",
        f"--namespace={namespace}",
        "--image=inferline:test",
        f"--reach=127.0.0.1:{admin_port}",
    )
    command = [sys.executable, "-m", "inferline", "deploy", "plan.json", "--pipeline=pipeline.yaml", "--format=json"]
    environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig())}

    def run(*, double, add):
        stages = {
            stage: {"model": model, "hardware": of[0], "replicas": of[1], "max_batch": of[2]}
            for stage, model, of in (("double", "doubler", double), ("add", "adder", add))
        }
        (tmp_path / "plan.json").write_text(json.dumps({"version": 1, "stages": stages}))
        words = [*command, *ports, *place]
        done = subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["predict_url"]

    return run


def test_no_query_is_lost(deploy, kubelet, target):
    url = deploy(double=("cpu", 2, 4), add=("cpu", 1, 2))

    def predict(number):
        return httpx.post(url, json={"input": number}, timeout=LONG_S, trust_env=False).json()["output"]

    def sets():
        return {(key.stage, key.hardware): count for key, count in target.requested("numbers").items()}

    def standing():
        return sorted((each.phase, each.restarts) for each in target.list("numbers"))

    assert sets() == {("double", "cpu"): 2, ("add", "cpu"): 1}
    victim = next(each.id for each in target.list("numbers") if each.key.stage == "double")
    with ThreadPoolExecutor(4) as clients:
        replies = [clients.submit(predict, number) for number in range(QUERIES)]
        replies[QUERIES // 4].result(LONG_S)
        os.kill(kubelet.container(victim).process.pid, signal.SIGKILL)
        assert [each.result(LONG_S) for each in replies] == [2 * number + 1 for number in range(QUERIES)]
    until(lambda: standing() == [("ready", 0), ("ready", 0), ("ready", 1)], "its return")

    # New hardware for one stage, and fewer replicas of the other.
    with ThreadPoolExecutor(1) as other:
        moving = other.submit(deploy, double=("cpu", 1, 8), add=("fast", 2, 8))
        number = 0
        while not moving.done():
            assert predict(number) == 2 * number + 1
            number += 1
        moving.result()
    assert sets() == {("double", "cpu"): 1, ("add", "fast"): 2}
    assert predict(6) == 13
    target.stop("numbers")
    until(lambda: not target.list("numbers"), "the end of all Pods")
