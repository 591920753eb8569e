"""Waiting until replicas can serve, at any target."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep

from inferline.errors import OutsideError
from serving_adapter.replicas.protocol import Replica, ReplicaSet, Target

__all__ = ["is_ready", "wait"]

_POLL_S = 0.1


def is_ready(target: Target, wanted: ReplicaSet) -> bool:
    """Whether at least so many replicas of a set can serve."""
    return _ready(target, wanted) >= wanted.replicas


def wait(
    target: Target,
    wanted: ReplicaSet,
    timeout_s: float,
    *,
    observe: Callable[[int], None] = lambda ready: None,  # noqa: ARG005
    clock: Callable[[], float] = monotonic,
    pause: Callable[[float], None] = sleep,
) -> None:
    """Wait until at least so many replicas of a set can serve.

    Parameters
    ----------
    target, wanted
        What is waited for; it has been started.
    timeout_s
        How long at most.
    observe
        Told, at each look, how many can.
    clock, pause
        Monotonic seconds, and how to let some pass.

    Raises
    ------
    OutsideError
        When they cannot in time; says how many could, and why the others could not.
    """
    until_s = clock() + timeout_s
    while True:
        ready = _ready(target, wanted)
        observe(ready)
        if ready >= wanted.replicas:
            return
        if clock() >= until_s:
            raise OutsideError(
                f"stage {wanted.stage!r}: {ready} of {wanted.replicas} replicas on {wanted.hardware.name} were ready "
                f"after {timeout_s:g} s; {_reasons(_of(target, wanted)) or 'none says why'}"
            )
        pause(_POLL_S)


def _of(target: Target, wanted: ReplicaSet) -> list[Replica]:
    return [replica for replica in target.list(wanted.deployment) if replica.key == wanted.key]


def _ready(target: Target, wanted: ReplicaSet) -> int:
    return sum(replica.phase == "ready" for replica in _of(target, wanted))


def _reasons(replicas: list[Replica]) -> str:
    said = [f"{replica.id} is {replica.phase}: {replica.message}" for replica in replicas if replica.message]
    return "; ".join(dict.fromkeys(said))
