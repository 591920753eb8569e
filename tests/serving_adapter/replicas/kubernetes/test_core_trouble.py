"""A serving core that does not come up: what its Pod says reaches whoever deploys."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from serving_adapter.replicas import CoreOptions
from serving_adapter.replicas.kubernetes.reading import read_refusal, read_trouble
from tests.serving_adapter.replicas.kubernetes.cluster import free_port, until

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


def pod(state, **status):
    return {"metadata": {"name": "p"}, "status": {"containerStatuses": [{"state": state}], **status}}


def test_what_a_pod_says():
    back_off = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}}
    assert read_trouble(pod(back_off)) == "Pod p: ImagePullBackOff: Back-off"
    assert read_trouble(pod({"terminated": {"exitCode": 2, "message": "no option"}})) == (
        "Pod p: ended with exit code 2: no option"
    )
    assert read_trouble(pod({"waiting": {"reason": "ContainerCreating"}})) == ""
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert read_trouble(pod({"running": {}}, **ready)) == ""
    refused = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    assert read_refusal({"status": {"conditions": [refused]}}) == "FailedCreate: exceeded quota"
    assert read_refusal({"status": {}}) == ""


@pytest.mark.kubernetes
def test_an_image_that_cannot_be_pulled(cluster, namespace, kubelet, tmp_path):
    kubelet.broken.add("inferline:missing")
    stage = {"model": "doubler", "hardware": "cpu", "max_batch": 1, "replicas": 1}
    (tmp_path / "plan.json").write_text(json.dumps({"version": 1, "stages": {"double": stage}}))
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    where = ("--target", "kubernetes", "--namespace", namespace)
    here = ("--image", "inferline:missing", "--reach", f"127.0.0.1:{free_port()}", "--timeout", "3s")
    ended = subprocess.run(
        [sys.executable, "-m", "inferline", "deploy", "plan.json", "--pipeline", "pipeline.yaml", *where, *here],
        cwd=tmp_path,
        env=os.environ | {"KUBECONFIG": str(cluster.kubeconfig())},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 4
    for words in (
        "failed: no serving core took queries at http://127.0.0.1:1337",
        'ImagePullBackOff: Back-off pulling image "inferline:missing"',
        f"inferline undeploy sums --target kubernetes --namespace {namespace} ends what was started for it",
    ):
        assert words in ended.stderr, ended.stderr


@pytest.mark.kubernetes
def test_a_core_that_cannot_be_placed_and_then_runs(kubelet, target):
    kubelet.full.add("")  # the core asks for no hardware in particular
    target.start_core("social-media", CoreOptions())
    until(lambda: "Unschedulable: 0/1 nodes are available" in target.core_trouble("social-media"), "the refusal")
    kubelet.full.clear()
    until(lambda: not target.core_trouble("social-media"), "the core's Pod")
    target.stop("social-media")
