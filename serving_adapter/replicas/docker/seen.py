"""A container as the engine describes it, and what that says of a replica."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from inferline.errors import OutsideError
from serving_adapter.replicas.docker.labels import ROLE, is_stopping
from serving_adapter.replicas.protocol import Phase

__all__ = ["Seen", "phase_of", "read_seen"]

_RUNNING = frozenset({"running", "paused", "stopping"})
_NOT_BEGUN = frozenset({"created", "configured", "initialized"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A container of ours.

    Parameters
    ----------
    id, name, labels
        What the engine knows it by, what it is called, and what we have written on it.
    status
        ``created``, ``running``, ``restarting``, ``exited`` ... in the engine's words.
    created_s, started_s
        Seconds since the epoch when it was made, and when its process was started last; 0 before that.
    exit_code
        What its process ended with last.
    error
        Why the engine could not start it; empty when it could.
    restarts
        How often the engine has started it again.
    """

    id: str
    name: str
    labels: Mapping[str, str]
    status: str
    created_s: float
    started_s: float
    exit_code: int
    error: str
    restarts: int

    @property
    def role(self) -> str:
        """What it is for; empty when it does not say."""
        return self.labels.get(ROLE, "")

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self.status in _RUNNING

    @property
    def stopping(self) -> bool:
        """Whether it has been told to end."""
        return is_stopping(self.name)


def read_seen(document: Mapping[str, Any]) -> Seen:
    """Read what the engine answers about one container.

    Raises
    ------
    OutsideError
        When it is not what an engine answers.
    """
    try:
        state = document["State"]
        return Seen(
            id=document["Id"],
            name=document["Name"].lstrip("/"),
            labels=document["Config"]["Labels"] or {},
            status=state["Status"],
            created_s=_seconds(document["Created"]),
            started_s=_seconds(state["StartedAt"]),
            exit_code=int(state["ExitCode"]),
            error=state.get("Error") or "",
            restarts=int(document.get("RestartCount") or 0),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise OutsideError(f"the container engine's answer about a container lacks or misstates {error}") from error


def _seconds(text: str) -> float:
    return max(0.0, datetime.fromisoformat(text).timestamp())  # "never" is the year 1


def phase_of(seen: Seen, *, ready: bool) -> Phase:
    """Return what phase a replica is in.

    Parameters
    ----------
    seen
        Its container.
    ready
        Whether its model is loaded.
    """
    if seen.stopping:
        return "stopping"
    if seen.runs:
        return "ready" if ready else "starting"
    return "starting" if seen.status in _NOT_BEGUN and not seen.error else "failed"
