"""The autoscaler's ends: what the tuner asks for, answered by serving cores, Prometheus and targets."""

from inferline.tuning.arrivals import SeenArrivals
from inferline.tuning.moving import Mover
from inferline.tuning.plans import DeployedPlans, FilePlans
from inferline.tuning.replanner import BackgroundReplanner
from inferline.tuning.replicas import TargetReplicas

__all__ = ["BackgroundReplanner", "DeployedPlans", "FilePlans", "Mover", "SeenArrivals", "TargetReplicas"]
