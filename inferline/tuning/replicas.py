"""A target's sets of replicas, as the tuner wants them: one number for each stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from inferline.errors import OutsideError
from serving_adapter.replicas import CoreAddress, ReplicaSet, SetKey, Target

__all__ = ["TargetReplicas"]


class TargetReplicas:
    """`tuner.protocols.Replicas` of a deployment.

    Parameters
    ----------
    target
        Where replicas run; closed with this.
    core
        The serving core as replicas reach it.
    sets
        By stage, the set that serves it; its number of replicas means nothing here.
    """

    def __init__(self, target: Target, core: CoreAddress, sets: Mapping[str, ReplicaSet]) -> None:
        self._target = target
        self._core = core
        self._sets = sets
        self._deployment = next(iter(sets.values())).deployment

    def requested(self) -> Mapping[str, int]:
        """Return how many replicas of each stage are asked for.

        Raises
        ------
        OutsideError
            When the target cannot be asked, or a set is not there: while another plan is being deployed, nobody is to
            interfere.
        """
        found = self._target.requested(self._deployment)
        if missing := [each.key for each in self._sets.values() if each.key not in found]:
            raise OutsideError(
                f"{self._deployment} has no replicas of {', '.join(map(_words, missing))}: {_others(found)}"
            )
        return {stage: found[each.key] for stage, each in self._sets.items()}

    def ask(self, stage: str, replicas: int) -> None:
        """Have a stage have so many replicas.

        Raises
        ------
        OutsideError
            When the target cannot be reached, or refuses.
        """
        self._target.start(replace(self._sets[stage], replicas=replicas), self._core)

    def close(self) -> None:
        """Let go of connections."""
        self._target.close()


def _words(key: SetKey) -> str:
    return f"{key.stage} {key.version} on {key.hardware}"


def _others(found: Mapping[SetKey, int]) -> str:
    there = ", ".join(map(_words, found))
    return f"there are {there}; another plan is deployed" if there else "none is deployed; inferline deploy does that"
