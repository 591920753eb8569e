"""Where replicas run: processes of this machine, a container engine, Kubernetes; one small Protocol for all."""

from serving_adapter.replicas.protocol import CoreAddress, CoreOptions, Phase, Replica, ReplicaSet, SetKey, Target
from serving_adapter.replicas.waiting import is_ready, wait

__all__ = [
    "CoreAddress",
    "CoreOptions",
    "Phase",
    "Replica",
    "ReplicaSet",
    "SetKey",
    "Target",
    "is_ready",
    "wait",
]
