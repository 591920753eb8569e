"""A deployment is changed by one at a time: a Lease at a real API server."""

from __future__ import annotations

import os
import subprocess
import sys
from time import monotonic

import pytest

from inferline.errors import OutsideError
from serving_adapter.leases import KubernetesLease, holding
from serving_adapter.replicas.kubernetes.connection import Connection

pytestmark = pytest.mark.kubernetes


@pytest.fixture
def lease(cluster, namespace):
    """Return a function from who wants it to the lease."""

    def of(words, duration_s=15):
        connection = Connection(config=cluster.kubeconfig())
        return KubernetesLease(connection, namespace, "sums-core-changing", duration_s, words)

    return of


def test_the_second_is_told_who_is_at_it(lease):
    with holding(lease("the first one"), "sums") as check:
        began_s = monotonic()
        second = holding(lease("the second one"), "sums")
        with pytest.raises(OutsideError, match="sums is being changed by the first one; nothing was done"):
            second.__enter__()
        assert monotonic() - began_s < 10  # it was renewed meanwhile: nobody waits for its end
        check()
    with holding(lease("the second one"), "sums") as check:
        check()


def test_one_that_was_killed_is_in_the_way_as_long_as_its_lease_lasts(lease):
    killed = lease("the first one", duration_s=2)
    assert killed.hold() is not None
    began_s = monotonic()
    with holding(lease("the second one"), "sums") as check:
        assert monotonic() - began_s > 1.9
        check()
        assert killed.hold() is None


def test_the_commands_hold_it(cluster, namespace, lease):
    environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig())}
    where = ("--target", "kubernetes", "--namespace", namespace)
    command = [sys.executable, "-m", "inferline", "undeploy", "sums", *where]

    def undeploy():
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    with holding(lease("inferline deploy 1.json"), "sums"):
        ended = undeploy()
    said = (
        "failed: pipeline 'sums' at target kubernetes is being changed by inferline deploy 1.json; nothing was done"
    )
    assert (ended.returncode, said in ended.stderr) == (4, True), ended.stderr
    ended = undeploy()
    assert (ended.returncode, ended.stdout) == (0, "sums: nothing of it is at target kubernetes\n")
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/sums-core-changing"
    left = cluster.ask("GET", path)
    assert not left["spec"].get("holderIdentity")
    assert left["metadata"]["annotations"]["inferline.io/holder"].startswith("inferline undeploy (process ")
