"""A cluster for all tests, a namespace for each, and what they ask for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inferline.domain import Hardware
from serving_adapter.models import ModelEntry
from serving_adapter.replicas import ReplicaSet
from serving_adapter.replicas.kubernetes import KubernetesOptions, KubernetesTarget
from tests.serving_adapter.replicas.kubernetes.cluster import PROGRAMS, Cluster, built
from tests.serving_adapter.replicas.kubernetes.kubelet import FakeKubelet

BUILD = "tests/serving_adapter/replicas/kubernetes/build_apiserver.sh"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = built()
    if not all((folder / each).is_file() for each in PROGRAMS):
        say = pytest.fail if "CI" in os.environ else pytest.skip
        say(f"these tests run a real API server, which is not in {folder}: build it with {BUILD}")
    cluster = Cluster(folder, tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture(scope="session")
def running_kubelet(cluster: Cluster) -> Iterator[FakeKubelet]:
    kubelet = FakeKubelet(cluster)
    kubelet.start()
    yield kubelet
    kubelet.stop()


@pytest.fixture
def kubelet(running_kubelet: FakeKubelet) -> Iterator[FakeKubelet]:
    yield running_kubelet
    for each in (running_kubelet.full, running_kubelet.loading, running_kubelet.broken):
        each.clear()


@pytest.fixture
def namespace(cluster: Cluster) -> str:
    return cluster.namespace()


@pytest.fixture
def target(cluster: Cluster, namespace: str) -> Iterator[KubernetesTarget]:
    target = KubernetesTarget(
        KubernetesOptions(namespace=namespace, image="inferline:test"), config=cluster.kubeconfig()
    )
    yield target
    target.close()


@pytest.fixture
def replicas() -> Callable[..., ReplicaSet]:
    """Return what makes a set of replicas, of a stage of a pipeline unless told otherwise."""

    def make(count: int = 1, **values: object) -> ReplicaSet:
        stage = values.pop("stage", "translate")
        hardware = {"name": "cpu-2", "price_nano_usd_per_hour": 0, "cpus": 2.0} | values.pop("hardware", {})
        entry = ModelEntry(**({"name": "nmt", "kind": "callable", "target": "models:nmt"} | values.pop("entry", {})))
        deployment = values.pop("deployment", "social-media")
        named = {"model": f"{deployment}.{stage}", "version": "1", "plan": "3f2a9c1b"} | values
        return ReplicaSet(
            deployment=deployment, stage=stage, entry=entry, hardware=Hardware(**hardware), replicas=count, **named
        )

    return make


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Write a module of models, `models`, and return its folder."""
    (tmp_path / "models.py").write_text("def total(inputs):\n    return [float(each.sum()) for each in inputs]\n")
    return tmp_path
