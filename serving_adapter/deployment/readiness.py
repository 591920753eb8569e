"""Waiting until replicas can serve, and until replicas have gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic, sleep

from inferline.errors import OutsideError
from serving_adapter.client.admin import AdminClient
from serving_adapter.replicas import Replica, ReplicaSet, SetKey, Target

__all__ = ["POLL_S", "await_gone", "await_ready"]

POLL_S = 0.2

_HOPELESS = 2
"""A replica that ended by itself, and again after each of so many restarts, will not serve: once may be chance."""


def await_ready(
    target: Target,
    admin: AdminClient,
    sets: Sequence[ReplicaSet],
    timeout_s: float,
    *,
    observe: Callable[[SetKey, int], None] = lambda key, ready: None,  # noqa: ARG005
    clock: Callable[[], float] = monotonic,
    pause: Callable[[float], None] = sleep,
) -> None:
    """Wait until all replicas of several sets can serve, and the serving core knows them.

    Parameters
    ----------
    target, admin
        Where they run, and where they register.
    sets
        What is waited for; it has been started.
    timeout_s
        How long at most.
    observe
        Told, at each look, how many of a set can serve.
    clock, pause
        Monotonic seconds, and how to let some pass.

    Raises
    ------
    OutsideError
        When they cannot in time, or earlier when those that cannot have ended by themselves again and again; says how
        many can, and why the others cannot.
    """
    until_s = clock() + timeout_s
    while True:
        replicas = target.list(sets[0].deployment) if sets else ()
        ready = {each.key: _ready(replicas, each.key) for each in sets}
        for key, count in ready.items():
            observe(key, min(count, next(each.replicas for each in sets if each.key == key)))
        short = [each for each in sets if ready[each.key] < each.replicas]
        if not short and all(_is_known(admin, replicas, each) for each in sets):
            return
        hopeless = [each for each in short if _is_hopeless(replicas, each.key)]
        if hopeless or clock() >= until_s:
            raise OutsideError(_why(replicas, (hopeless or short or sets)[0], ready, timeout_s, late=not hopeless))
        pause(POLL_S)


def await_gone(
    target: Target,
    deployment: str,
    key: SetKey | None,
    most: int,
    timeout_s: float,
    *,
    clock: Callable[[], float] = monotonic,
    pause: Callable[[float], None] = sleep,
) -> None:
    """Wait until there are at most so many replicas of a set, or of a whole deployment when no set is named.

    Raises
    ------
    OutsideError
        When there are more in the end.
    """
    until_s = clock() + timeout_s
    while len(left := [each for each in target.list(deployment) if key is None or each.key == key]) > most:
        if clock() >= until_s:
            what = f"pipeline {deployment!r}" if key is None else f"stage {key.stage!r} on {key.hardware}"
            raise OutsideError(
                f"{what}: {len(left) - most} of {len(left)} replicas have still to end after {timeout_s:g} s: "
                f"{', '.join(each.id for each in left)}; the same command again waits for them further"
            )
        pause(POLL_S)


def _of(replicas: Sequence[Replica], key: SetKey) -> list[Replica]:
    return [each for each in replicas if each.key == key]


def _ready(replicas: Sequence[Replica], key: SetKey) -> int:
    return sum(each.phase == "ready" for each in _of(replicas, key))


def _is_known(admin: AdminClient, replicas: Sequence[Replica], wanted: ReplicaSet) -> bool:
    """Whether as many have registered as can serve: the core tells versions apart, not hardware."""
    version = (wanted.model, wanted.version)
    known = sum((each["model_name"], each["model_version"]) == version for each in admin.get_all_containers())
    same = {each.key for each in replicas if each.key[:2] == wanted.key[:2]}
    return known >= sum(_ready(replicas, key) for key in same)


def _is_hopeless(replicas: Sequence[Replica], key: SetKey) -> bool:
    cannot = [each for each in _of(replicas, key) if each.phase not in {"ready", "stopping"}]
    return bool(cannot) and all(each.phase == "failed" and each.restarts >= _HOPELESS for each in cannot)


def _why(
    replicas: Sequence[Replica], wanted: ReplicaSet, ready: dict[SetKey, int], timeout_s: float, *, late: bool
) -> str:
    cannot = [each for each in _of(replicas, wanted.key) if each.phase != "ready" and each.message]
    said = [f"{each.id} is {each.phase}: {each.message}" for each in cannot]
    reasons = "; ".join(dict.fromkeys(said))
    count = ready[wanted.key]
    if count >= wanted.replicas:
        return (
            f"stage {wanted.stage!r}: all replicas run, but not all have registered at the serving core after "
            f"{timeout_s:g} s; can they reach it?"
        )
    when = f"after {timeout_s:g} s" if late else "and the others end again and again"
    return (
        f"stage {wanted.stage!r}: {count} of {wanted.replicas} replicas on {wanted.hardware.name} can serve {when}; "
        f"{reasons or 'none says why'}"
    )
