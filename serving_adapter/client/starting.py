"""Waiting until a serving core answers, and until it has the replicas that were asked for."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, sleep

from inferline.errors import InferlineError, OutsideError
from serving_adapter.client.admin import AdminClient
from serving_adapter.replicas import Replica, ReplicaSet, Target

__all__ = ["await_core", "await_replicas"]

_POLL_S = 0.05


def await_core(
    admin: AdminClient,
    query_url: str,
    timeout_s: float,
    *,
    clock: Callable[[], float] = monotonic,
    pause: Callable[[float], None] = sleep,
) -> None:
    """Wait until a serving core takes administration and queries.

    Raises
    ------
    OutsideError
        When it does not in time.
    """
    until_s = clock() + timeout_s
    while not admin.ready(query_url):
        if clock() >= until_s:
            raise OutsideError(
                f"no serving core took queries at {query_url} and administration at {admin.url} within "
                f"{timeout_s:g} s{_last_answer(admin)}; start one, or say where it listens"
            )
        pause(_POLL_S)


def _last_answer(admin: AdminClient) -> str:
    try:
        admin.ping()
    except InferlineError as error:
        return f" ({error})"
    return ", though administration is taken there"


def await_replicas(
    admin: AdminClient,
    target: Target,
    wanted: ReplicaSet,
    timeout_s: float,
    *,
    clock: Callable[[], float] = monotonic,
    pause: Callable[[float], None] = sleep,
) -> None:
    """Wait until so many replicas of a set have registered at the core: from then on, queries reach them.

    Parameters
    ----------
    admin, target
        Where they register, and where they run.
    wanted
        The set; it has been started.
    timeout_s
        How long at most.

    Raises
    ------
    OutsideError
        When they have not in time, or earlier when every one of them has failed twice: it says why.
    """
    until_s = clock() + timeout_s
    while True:
        there = _registered(admin, wanted)
        if there >= wanted.replicas:
            return
        replicas = [each for each in target.list(wanted.deployment) if each.key == wanted.key]
        if _is_hopeless(replicas) or clock() >= until_s:
            reasons = _reasons(replicas) or "none says why"
            raise OutsideError(
                f"model '{wanted.model}:{wanted.version}': {there} of {wanted.replicas} replicas on "
                f"{wanted.hardware.name} have registered at the serving core; {reasons}"
            )
        pause(_POLL_S)


def _registered(admin: AdminClient, wanted: ReplicaSet) -> int:
    of = (wanted.model, wanted.version)
    return sum((each["model_name"], each["model_version"]) == of for each in admin.get_all_containers())


def _is_hopeless(replicas: list[Replica]) -> bool:
    """Whether nothing is to be waited for: once may be chance, again it is the model."""
    return bool(replicas) and all(each.phase == "failed" and each.restarts for each in replicas)


def _reasons(replicas: list[Replica]) -> str:
    said = [f"{each.id} is {each.phase}: {each.message}" for each in replicas if each.message]
    return "; ".join(dict.fromkeys(said))
