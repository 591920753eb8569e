"""The objects that Kubernetes is asked for: pure functions from what is wanted."""

from __future__ import annotations

from collections.abc import Iterable

from serving_adapter.replicas.kubernetes.documents import (
    REPLICA,
    Document,
    core_labels,
    key_annotations,
    replica_labels,
)
from serving_adapter.replicas.kubernetes.names import core_name, label_value, set_name
from serving_adapter.replicas.kubernetes.options import KubernetesOptions
from serving_adapter.replicas.kubernetes.pods import core_pod, replica_pod
from serving_adapter.replicas.protocol import CoreAddress, CoreOptions, ReplicaSet

__all__ = ["BUDGETS", "core_address", "core_manifests", "manifests", "replica_manifests"]

BUDGETS = "policy/v1"
"""Of PodDisruptionBudgets, since Kubernetes 1.21; before it was ``policy/v1beta1``, which 1.25 has dropped."""


def manifests(
    deployment: str,
    core: CoreOptions,
    sets: Iterable[ReplicaSet],
    options: KubernetesOptions,
) -> list[Document]:
    """Return everything of a deployment, in the order in which it is made; `to_yaml` writes it for ``kubectl apply``.

    Parameters
    ----------
    deployment
        The pipeline, or whatever else they are started and stopped with.
    core
        How the serving core is run.
    sets
        What replicas there are to be.
    options
        How they become Pods.

    Raises
    ------
    InputError
        When an option is missing that one of them needs.
    """
    address = core_address(deployment, core, options)
    replicas = [each for wanted in sets for each in replica_manifests(wanted, address, options)]
    return [*core_manifests(deployment, core, options), *replicas]


def core_address(deployment: str, core: CoreOptions, options: KubernetesOptions) -> CoreAddress:
    """Return where Pods find the core, which is its Service."""
    return CoreAddress(
        host=f"{core_name(deployment)}.{options.namespace}.svc",
        query_port=core.query_port or 1337,
        admin_port=core.admin_port or 1338,
        rpc_port=core.rpc_port or 7000,
    )


def core_manifests(deployment: str, core: CoreOptions, options: KubernetesOptions) -> list[Document]:
    """Return the Service, NetworkPolicy and Deployment of a deployment's serving core.

    The port for containers asks nobody who they are. So only the deployment's own replicas reach it, where the
    cluster's network heeds NetworkPolicies.
    """
    labels = core_labels(deployment)
    metadata = {"name": core_name(deployment), "namespace": options.namespace, "labels": labels}
    at = core_address(deployment, core, options)
    ports = {"query": at.query_port, "admin": at.admin_port, "rpc": at.rpc_port}
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "selector": labels,
            "ports": [
                {"name": name, "port": port, "targetPort": port, "protocol": "TCP"} for name, port in ports.items()
            ],
        },
    }
    replicas = {"podSelector": {"matchLabels": labels | {"app.kubernetes.io/component": REPLICA}}}
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": {
            "podSelector": {"matchLabels": labels},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"ports": [{"port": ports[name], "protocol": "TCP"} for name in ("query", "admin")]},
                {"from": [replicas], "ports": [{"port": ports["rpc"], "protocol": "TCP"}]},
            ],
        },
    }
    server = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            # Two at a time would share the queries, but not the replicas, and one state is for one.
            "strategy": {"type": "Recreate"},
            "template": core_pod(deployment, core, options),
        },
    }
    return [service, policy, server]


def replica_manifests(
    wanted: ReplicaSet, core: CoreAddress, options: KubernetesOptions, *, budgets: str = BUDGETS
) -> list[Document]:
    """Return the Deployment and the PodDisruptionBudget of a set of replicas.

    The budget lets a drained node take one replica of a set at a time.
    """
    labels = replica_labels(wanted)
    name = set_name(wanted.deployment, wanted.key)
    selector = {"matchLabels": {"inferline.io/set": labels["inferline.io/set"]}}
    metadata = {
        "name": name,
        "namespace": options.namespace,
        "labels": labels | {"inferline.io/plan": label_value(wanted.plan)},
        "annotations": key_annotations(wanted.key),
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            "replicas": wanted.replicas,
            "selector": selector,
            "template": replica_pod(wanted, core, options),
        },
    }
    budget = {
        "apiVersion": budgets,
        "kind": "PodDisruptionBudget",
        "metadata": metadata,
        "spec": {"maxUnavailable": 1, "selector": selector},
    }
    return [deployment, budget]
