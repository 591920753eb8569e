"""Autoscalers of Kubernetes: the Horizontal Pod Autoscaler on utilisation, and KEDA's on the length of the queue.

The rules are those of Kubernetes, ``pkg/controller/podautoscaler`` (``replica_calculator.go``, ``horizontal.go``)
and ``pkg/apis/autoscaling/v2/defaults.go``, API ``autoscaling/v2``; the defaults of the controller manager's flags
are those of "Horizontal Pod Autoscaling" in the Kubernetes documentation (v1.35 at the time of writing).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from inferline.units import NANO
from tuner.policies.bounds import constants, decide
from tuner.situation import Decision, Observation, Reason, Situation, StageObservation

__all__ = ["SYNC_NS", "HpaConstants", "KedaConstants", "Recommendations", "hpa", "keda"]

SYNC_NS = 15 * NANO
"""``--horizontal-pod-autoscaler-sync-period``: 15 s."""

Recommendations = Mapping[str, tuple[tuple[int, int], ...]]
"""By stage, (instant, replicas) of every recommendation that the stabilisation still looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaConstants:
    """Constants of `hpa`.

    Parameters
    ----------
    target_utilisation
        Of a replica, busy time over time. The user's choice: 70 % here, as in most guides; 80 % is what
        ``autoscaling/v2`` falls back on when no metric is named.
    tolerance
        ``--horizontal-pod-autoscaler-tolerance``: 0.1.
    down_window_s
        ``--horizontal-pod-autoscaler-downscale-stabilization``: 5 min; the largest recommendation in it counts.
    up_replicas, up_share
        Most new replicas in a sync period: 4, or 100 % of those there are, whichever is more.
    """

    target_utilisation: float = 0.7
    tolerance: float = 0.1
    down_window_s: float = 300.0
    up_replicas: int = 4
    up_share: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KedaConstants:
    """Constants of `keda`.

    Parameters
    ----------
    queue_length
        Queries per replica, waiting or in service: 5, the default of KEDA's ``aws-sqs-queue`` trigger, which counts
        messages in flight too (KEDA 2.17 documentation, "AWS SQS Queue").
    tolerance, down_window_s, up_replicas, up_share
        Of the Horizontal Pod Autoscaler that KEDA feeds.
    """

    queue_length: float = 5.0
    tolerance: float = 0.1
    down_window_s: float = 300.0
    up_replicas: int = 4
    up_share: float = 1.0


def hpa(
    situation: Situation, observation: Observation, note: Recommendations | None
) -> tuple[Decision, Recommendations]:
    """Scale each stage by its utilisation: desired = ceil(replicas x utilisation / target).

    Within the tolerance nothing changes. Replicas that are still starting count as idle when the others are above
    the target. To be called every `SYNC_NS`.

    Parameters
    ----------
    situation, observation, note
        As of every `tuner.situation.Policy`; options are `HpaConstants`.
    """
    given = constants(HpaConstants, situation.options)
    desired = {
        name: _by_utilisation(stage, given.target_utilisation, given.tolerance)
        for name, stage in observation.stages.items()
    }
    reasons = {
        name: Reason(rule="utilisation", measured=stage.utilisation, threshold=given.target_utilisation)
        for name, stage in observation.stages.items()
    }
    wanted, recommended = _stabilised(observation, desired, note, given)
    return decide(situation, observation, wanted, reasons), recommended


def keda(
    situation: Situation, observation: Observation, note: Recommendations | None
) -> tuple[Decision, Recommendations]:
    """Scale each stage by its queue: desired = ceil(queries there / queries per replica), stabilised as in `hpa`.

    KEDA's own ``pollingInterval`` (30 s) and ``cooldownPeriod`` (300 s) decide between 0 replicas and 1 only, as
    long as ``useCachedMetrics`` is off, which is the default (KEDA documentation, "ScaledObject specification"): from
    1 replica on, the Horizontal Pod Autoscaler asks for the metric in each of its own periods. Stages here have one
    replica at least. To be called every `SYNC_NS`.

    Parameters
    ----------
    situation, observation, note
        As of every `tuner.situation.Policy`; options are `KedaConstants`.
    """
    given = constants(KedaConstants, situation.options)
    desired, reasons = {}, {}
    for name, stage in observation.stages.items():
        here = stage.queued + stage.in_service
        ratio = here / (given.queue_length * max(stage.requested, 1))
        far = abs(1.0 - ratio) > given.tolerance
        desired[name] = math.ceil(here / given.queue_length) if far else stage.requested
        reasons[name] = Reason(rule="queue length", measured=here, threshold=given.queue_length * stage.requested)
    wanted, recommended = _stabilised(observation, desired, note, given)
    return decide(situation, observation, wanted, reasons), recommended


def _by_utilisation(stage: StageObservation, target: float, tolerance: float) -> int:
    """Return the replicas that a resource metric asks for (``GetResourceReplicas``)."""
    if stage.ready == 0:
        return stage.requested
    ratio = stage.utilisation / target
    if ratio > 1.0 and stage.requested > stage.ready:
        ratio *= stage.ready / stage.requested
        return math.ceil(ratio * stage.requested) if ratio > 1.0 + tolerance else stage.requested
    return math.ceil(ratio * stage.ready) if abs(1.0 - ratio) > tolerance else stage.requested


def _stabilised(
    observation: Observation,
    desired: Mapping[str, int],
    note: Recommendations | None,
    given: HpaConstants | KedaConstants,
) -> tuple[dict[str, int], Recommendations]:
    """Return what is asked for, and the recommendations that still count (``normalizeDesiredReplicasWithBehaviors``).

    The count at the first call counts as a recommendation.
    """
    now_ns = observation.now_ns
    since_ns = now_ns - round(given.down_window_s * NANO)
    wanted: dict[str, int] = {}
    recommended: dict[str, tuple[tuple[int, int], ...]] = {}
    for name, count in desired.items():
        present = observation.stages[name].requested
        before = ((now_ns, present),) if note is None else note[name]
        recent = (*(each for each in before if each[0] > since_ns), (now_ns, count))
        highest = max(count for _, count in recent)
        limit = max(present + int(given.up_replicas), math.ceil(present * (1.0 + given.up_share)))
        wanted[name] = min(count, limit) if count >= present else min(present, highest)
        recommended[name] = recent
    return wanted, recommended
