"""Deploying a plan: from a pipeline file and a plan to replicas, and from what runs to what is wanted."""

from serving_adapter.deployment.carrying_out import Observer, Site, carry_out
from serving_adapter.deployment.running import Running, read_running
from serving_adapter.deployment.standing import Standing
from serving_adapter.deployment.steps import Step, plan_steps
from serving_adapter.deployment.wanted import Files, Wanted, read_files, wanted_of

__all__ = [
    "Files",
    "Observer",
    "Running",
    "Site",
    "Standing",
    "Step",
    "Wanted",
    "carry_out",
    "plan_steps",
    "read_files",
    "read_running",
    "wanted_of",
]
