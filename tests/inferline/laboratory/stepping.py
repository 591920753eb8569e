"""A policy whose every step is written down beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferline.units import NANO
from tuner.situation import Decision, Observation, Policy, Reason, Situation


def steps(asked: Mapping[int, Mapping[str, int]]) -> Policy:
    """Return a policy that asks for replicas at some seconds, otherwise keeps what there is, and counts its ticks."""

    def policy(situation: Situation, observation: Observation, note: Any) -> tuple[Decision, Any]:
        counts = {name: stage.requested for name, stage in observation.stages.items()}
        wanted = asked.get(observation.now_ns // NANO, {})
        reasons = {name: Reason(rule=f"tick {note}") for name in wanted}
        return Decision(replicas={**counts, **wanted}, reasons=reasons), (note or 0) + 1

    return policy
