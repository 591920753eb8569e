"""The autoscaler's ends: what the tuner asks for, answered by serving cores, Prometheus and targets."""

from inferline.tuning.arrivals import SeenArrivals
from inferline.tuning.replicas import TargetReplicas

__all__ = ["SeenArrivals", "TargetReplicas"]
