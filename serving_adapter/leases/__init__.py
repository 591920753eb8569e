"""Who of several processes may change a deployment: the one that holds its lease."""

from serving_adapter.leases.file import FileLease
from serving_adapter.leases.holding import Lease, holding
from serving_adapter.leases.kubernetes import KubernetesLease
from serving_adapter.leases.redis import RedisLease

__all__ = ["FileLease", "KubernetesLease", "Lease", "RedisLease", "holding"]
