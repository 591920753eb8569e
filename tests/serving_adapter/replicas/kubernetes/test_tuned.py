"""The autoscaler's end at a real API server: counts as it asks for them, and as somebody else does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from time import monotonic_ns

import pytest

from inferline.errors import OutsideError
from inferline.tuning import TargetReplicas
from inferline.units import NANO
from serving_adapter.leases import KubernetesLease
from serving_adapter.replicas import CoreAddress, wait
from serving_adapter.replicas.kubernetes.connection import Connection
from serving_adapter.replicas.kubernetes.names import set_name
from tests.serving_adapter.replicas.kubernetes.cluster import LONG_S, MERGE, until

pytestmark = [pytest.mark.kubernetes, pytest.mark.usefixtures("kubelet")]

CORE = CoreAddress(host="social-media-core.test.svc")


def test_counts_are_asked_for_and_an_operators_edit_is_seen(cluster, namespace, target, replicas):
    wanted = replicas(1)
    tuned = TargetReplicas(target, CORE, {"translate": wanted})
    with pytest.raises(OutsideError, match="none is deployed; inferline deploy does that"):
        tuned.requested()
    target.start(wanted, CORE)
    assert tuned.requested() == {"translate": 1}
    tuned.ask("translate", 3)
    assert tuned.requested() == {"translate": 3}
    wait(target, replicas(3), LONG_S)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{set_name(wanted.deployment, wanted.key)}"
    cluster.ask("PATCH", path, {"spec": {"replicas": 5}}, kind=MERGE)
    assert tuned.requested() == {"translate": 5}
    tuned.ask("translate", 2)
    assert tuned.requested() == {"translate": 2}
    moved = TargetReplicas(target, CORE, {"translate": replicas(1, version="2")})
    with pytest.raises(OutsideError, match="there are translate 1 on cpu-2; another plan is deployed"):
        moved.requested()


def test_a_lease_is_one_holders_until_it_is_not_renewed(cluster, namespace):
    def lease():
        return KubernetesLease(Connection(config=cluster.kubeconfig()), namespace, "small-tuner", duration_s=1)

    first, second = lease(), lease()
    asked_ns = monotonic_ns()
    until_ns = first.hold()
    assert asked_ns < until_ns < monotonic_ns() + NANO  # it stops before others take it
    assert second.hold() is None
    assert first.hold() > until_ns
    until(second.hold, "the end of the lease")  # the first one hangs
    assert monotonic_ns() > asked_ns + NANO
    assert first.hold() is None
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/small-tuner"
    assert cluster.ask("GET", path)["spec"]["leaseTransitions"] == 1
    second.release()
    assert first.hold() is not None
    first.release()


def test_of_two_who_take_a_lease_at_once_one_gets_it(cluster, namespace):
    leases = [KubernetesLease(Connection(config=cluster.kubeconfig()), namespace, "small-tuner") for _ in range(8)]
    with ThreadPoolExecutor(len(leases)) as threads:
        held = list(threads.map(lambda each: each.hold(), leases))
    assert sum(each is not None for each in held) == 1
    for each in leases:
        each.release()
