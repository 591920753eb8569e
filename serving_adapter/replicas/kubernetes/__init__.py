"""Replicas as Pods: a Deployment for each set, and one with a Service for the serving core.

`connection` alone imports the Kubernetes client, and only when a `KubernetesTarget` is made: manifests need none.
"""

from __future__ import annotations

from serving_adapter.replicas.kubernetes.documents import Document, to_yaml
from serving_adapter.replicas.kubernetes.manifests import core_manifests, manifests, replica_manifests
from serving_adapter.replicas.kubernetes.options import KubernetesOptions
from serving_adapter.replicas.kubernetes.roles import role_manifests
from serving_adapter.replicas.kubernetes.target import KubernetesTarget

__all__ = [
    "Document",
    "KubernetesOptions",
    "KubernetesTarget",
    "core_manifests",
    "manifests",
    "replica_manifests",
    "role_manifests",
    "to_yaml",
]
