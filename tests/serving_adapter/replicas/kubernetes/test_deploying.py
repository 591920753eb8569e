"""``inferline deploy``, ``status`` and ``undeploy`` against a real API server, the core and replicas as processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import httpx
import pytest

from tests.serving_adapter.replicas.kubernetes.cluster import free_port

pytestmark = pytest.mark.kubernetes

PIPELINE = """\
version: 1
name: sums
slo: {latency: 500ms, percentile: 99}
profiles: profiles.csv
hardware:
  cpu: {price: $0.05/h}
stages:
  double: {model: doubler}
models:
  doubler: {callable: "models:double"}
workload:
  generate: {arrivals: even, rate: 1, duration: 10s}
"""


@pytest.fixture
def folder(kubelet, namespace, tmp_path):
    """Return the pipeline's folder, which stands for the one in the image, with plans of one and two replicas."""
    (tmp_path / "models.py").write_text("def double(inputs):\n    return [2 * each for each in inputs]\n")
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    for count in (1, 2):
        stage = {"model": "doubler", "hardware": "cpu", "max_batch": count, "replicas": count}
        (tmp_path / f"{count}.json").write_text(json.dumps({"version": 1, "stages": {"double": stage}}))
    kubelet.folders[namespace] = tmp_path
    return tmp_path


@pytest.fixture
def run(cluster, namespace, folder):
    """Return a function: runs a command for this namespace."""
    environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig())}

    def ran(*arguments):
        command = [sys.executable, "-m", "inferline", *arguments, "--target", "kubernetes", "--namespace", namespace]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
        )

    yield ran
    assert ran("undeploy", "sums").returncode == 0


def test_a_plan_is_deployed_moved_and_stopped(run):
    query, admin, rpc = (free_port() for _ in range(3))
    ports = ("--query-port", str(query), "--admin-port", str(admin), "--rpc-port", str(rpc))

    def deploy(plan, *options):
        return run("deploy", plan, "--pipeline", "pipeline.yaml", "--image", "inferline:test", *ports, *options)

    ended = deploy("1.json")
    assert (ended.returncode, "a name that leads nowhere from here" in ended.stderr) == (4, True)
    assert "--reach HOST[:ADMIN_PORT]" in ended.stderr

    here = ("--reach", "127.0.0.1", "--format", "json")
    ended = deploy("1.json", *here)
    assert ended.returncode == 0, ended.stderr
    url = json.loads(ended.stdout)["predict_url"]
    assert url == f"http://127.0.0.1:{query}/sums/predict"
    assert httpx.post(url, json={"input": 3}).json()["output"] == 6

    steps = json.loads(deploy("2.json", *here).stdout)["steps"]
    assert [step["kind"] for step in steps] == ["start", "switch"]
    assert json.loads(deploy("2.json", *here).stdout)["changed"] is False

    where = ("--server", f"127.0.0.1:{admin}", "--query-port", str(query), "--over", "0.2s")
    ended = run("status", "sums", *where, "--format", "json")
    assert ended.returncode == 0, ended.stderr
    stage = json.loads(ended.stdout)["pipelines"][0]["stages"]["double"]
    assert (stage["observed"], stage["sets"][0]["requested"], stage["sets"][0]["phases"]) == (2, 2, {"ready": 2})

    steps = json.loads(deploy("1.json", *here, "--version", "2").stdout)["steps"]
    assert [step["kind"] for step in steps] == ["start", "switch", "drain", "stop", "delete"]
    assert httpx.post(url, json={"input": 3}).json()["output"] == 6

    ended = run("undeploy", "sums")
    assert ended.returncode == 0, ended.stderr
    assert "stopped 1 replica (1 of double 2 on cpu), stopped the serving core at sums-core." in ended.stdout
    assert "nothing of it is at target kubernetes" in run("undeploy", "sums").stdout
