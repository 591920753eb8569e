"""Replicas as processes of this machine, kept running by a supervisor of their deployment."""

from serving_adapter.replicas.local.target import LocalTarget

__all__ = ["LocalTarget"]
