"""What the objects at the server say of replicas."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from serving_adapter.replicas.kubernetes.documents import read_key
from serving_adapter.replicas.protocol import Phase, Replica, SetKey

__all__ = ["read_missing", "read_pod", "read_refusal", "read_requested", "read_trouble"]

_ON_ITS_WAY = frozenset({"ContainerCreating", "PodInitializing", ""})
_ORDINARY = frozenset({"Completed", "Error", ""})
_LONGEST = 300


def read_pod(pod: Mapping[str, Any]) -> Replica:
    """Return the replica that a Pod is.

    It waits to be started again when its container has ended; a Pod that has failed as a whole, as one that was
    evicted, stays as it is, and another takes its place.
    """
    metadata, status = pod["metadata"], pod.get("status") or {}
    container: Mapping[str, Any] = next(iter(status.get("containerStatuses") or ()), {})
    phase = _phase(pod, container)
    running = (container.get("state") or {}).get("running") or {}
    return Replica(
        id=metadata["name"],
        key=read_key(pod),
        phase=phase,
        restarts=container.get("restartCount", 0),
        since_s=_instant(running.get("startedAt") or status.get("startTime") or metadata.get("creationTimestamp")),
        message="" if phase in {"ready", "stopping"} else _message(status, container),
    )


def read_trouble(pod: Mapping[str, Any]) -> str:
    """Return why a Pod does not serve; nothing when it does, or says nothing."""
    status = pod.get("status") or {}
    container: Mapping[str, Any] = next(iter(status.get("containerStatuses") or ()), {})
    if _phase(pod, container) in {"ready", "stopping"}:
        return ""
    said = _message(status, container)
    return f"Pod {pod['metadata']['name']}: {said}" if said else ""


def read_requested(deployment: Mapping[str, Any]) -> tuple[SetKey, int]:
    """Return how many replicas a Deployment asks for, whoever has set it so."""
    return read_key(deployment), (deployment.get("spec") or {}).get("replicas", 1)


def read_missing(deployment: Mapping[str, Any]) -> Replica | None:
    """Return what stands for the replicas that have no Pod because the server refuses to make one; None for none.

    A quota is used up, say, or there is no such RuntimeClass. No Pod could tell.
    """
    said = read_refusal(deployment)
    if not said:
        return None
    failure = _condition(deployment.get("status") or {}, "ReplicaFailure")
    return Replica(
        id=deployment["metadata"]["name"],
        key=read_key(deployment),
        phase="failed",
        since_s=_instant(failure.get("lastTransitionTime")),
        message=said,
    )


def read_refusal(deployment: Mapping[str, Any]) -> str:
    """Return why the server makes no Pods of a Deployment; nothing when it does."""
    failure = _condition(deployment.get("status") or {}, "ReplicaFailure")
    if failure.get("status") != "True":
        return ""
    return _told(failure.get("reason", ""), failure.get("message", "")) or "the server makes no Pods of it"


def _phase(pod: Mapping[str, Any], container: Mapping[str, Any]) -> Phase:
    status = pod.get("status") or {}
    state = container.get("state") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return "stopping"
    if status.get("phase") in {"Failed", "Succeeded"} or "terminated" in state:
        return "failed"
    if (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff":
        return "failed"
    return "ready" if _condition(status, "Ready").get("status") == "True" else "starting"


def _message(status: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    state = container.get("state") or {}
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated")
    waiting = state.get("waiting") or {}
    if ended:
        why = "" if ended.get("reason", "") in _ORDINARY else f" ({ended['reason']})"
        last = (ended.get("message") or "").strip().rpartition("\n")[2]
        return f"ended with exit code {ended.get('exitCode')}{why}" + (f": {last[:_LONGEST]}" if last else "")
    if waiting.get("reason", "") not in _ON_ITS_WAY:
        return _told(waiting["reason"], waiting.get("message", ""))
    if status.get("reason"):  # of the Pod as a whole: Evicted
        return _told(status["reason"], status.get("message", ""))
    unplaced = _condition(status, "PodScheduled")
    if unplaced.get("status") == "False":
        return _told(unplaced.get("reason", ""), unplaced.get("message", ""))
    return ""


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((each for each in status.get("conditions") or () if each["type"] == kind), {})


def _told(reason: str, message: str) -> str:
    return ": ".join(part for part in (reason, message.strip()[:_LONGEST]) if part)


def _instant(text: str | None) -> float:
    return 0.0 if text is None else datetime.fromisoformat(text).timestamp()
