"""Autoscaling policies: pure functions from what is seen to how many replicas each stage should have.

`POLICIES` has them by the names that the command line knows. Each says how often it wants to be called and which
constants it takes as options; where a constant comes from is said beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from inferline.units import NANO
from tuner.policies import certified as _certified
from tuner.policies import coarse as _coarse
from tuner.policies import inferline as _inferline
from tuner.policies import knative as _knative
from tuner.policies import kubernetes as _kubernetes
from tuner.policies import ray as _ray
from tuner.policies import static as _static
from tuner.policies import twin as _twin
from tuner.situation import Policy

__all__ = ["POLICIES", "PolicySpec"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    """A policy and how to call it.

    Parameters
    ----------
    policy
        The function.
    period_ns
        Time from one call to the next.
    options
        The constants that `Situation.options` may change, with their defaults.
    description
        One line for tables.
    looks_ahead
        Whether `Situation.simulate` must be there.
    """

    policy: Policy
    period_ns: int
    options: Mapping[str, Any]
    description: str
    looks_ahead: bool = False


POLICIES: Mapping[str, PolicySpec] = MappingProxyType(
    {
        "certified": PolicySpec(
            policy=_certified.certified,
            period_ns=_certified.PERIOD_NS,
            options=asdict(_certified.CertifiedConstants()),
            description="delay bounds at every stage's own queue, at the rate that may come until new replicas serve",
        ),
        "twin": PolicySpec(
            policy=_twin.twin,
            period_ns=_twin.PERIOD_NS,
            options=asdict(_twin.TwinConstants()),
            description="the cheapest counts that pass a simulation of what may come until new replicas serve",
            looks_ahead=True,
        ),
        "inferline": PolicySpec(
            policy=_inferline.inferline,
            period_ns=_inferline.PERIOD_NS,
            options=asdict(_inferline.InferlineConstants()),
            description="the tuner of the InferLine paper: traffic envelopes against the plan's",
        ),
        "hpa": PolicySpec(
            policy=_kubernetes.hpa,
            period_ns=_kubernetes.SYNC_NS,
            options=asdict(_kubernetes.HpaConstants()),
            description="Kubernetes' Horizontal Pod Autoscaler on utilisation",
        ),
        "keda": PolicySpec(
            policy=_kubernetes.keda,
            period_ns=_kubernetes.SYNC_NS,
            options=asdict(_kubernetes.KedaConstants()),
            description="KEDA: the same autoscaler on the length of the queue",
        ),
        "kpa": PolicySpec(
            policy=_knative.kpa,
            period_ns=_knative.SAMPLE_NS,
            options=asdict(_knative.KpaConstants()),
            description="Knative's autoscaler: concurrency, with a panic window",
        ),
        "ray": PolicySpec(
            policy=_ray.ray,
            period_ns=_ray.SAMPLE_NS,
            options=asdict(_ray.RayConstants()),
            description="Ray Serve: ongoing requests, with delays",
        ),
        "cg-autoscale": PolicySpec(
            policy=_coarse.cg_autoscale,
            period_ns=_coarse.PERIOD_NS,
            options=asdict(_coarse.CoarseConstants()),
            description="AutoScale on the pipeline as one unit (the paper's coarse-grained baseline)",
        ),
        "static": PolicySpec(
            policy=_static.static,
            period_ns=60 * NANO,
            options={},
            description="the plan's counts",
        ),
    }
)
"""Every policy, by name: ours first, then the paper's, then those that people run today."""
