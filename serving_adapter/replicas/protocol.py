"""What is asked of a place where replicas run, and what it says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from inferline.domain import Hardware
from serving_adapter.models import ModelEntry

__all__ = ["CoreAddress", "CoreOptions", "Phase", "Replica", "ReplicaSet", "SetKey", "Target"]

Phase = Literal["starting", "ready", "stopping", "failed"]
"""``failed`` is one that ended by itself and waits to be started again; ``stopping`` still answers its last batch."""


class SetKey(NamedTuple):
    """What tells one set of equal replicas of a deployment from another."""

    stage: str
    version: str
    hardware: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSet:
    """Equal replicas: of one version of one stage, on one hardware.

    Parameters
    ----------
    deployment
        The pipeline, or whatever else they are started and stopped with.
    stage
        The stage, or the model where there is no pipeline.
    model
        Name that they register under: ``pipeline.stage`` for a stage.
    version
        Version that they register as.
    entry
        How the model is run.
    hardware
        What each of them gets: cores, accelerators, isolation.
    replicas
        How many; 0 for none.
    plan
        Digest of the plan that asks for them, at most 16 characters; empty for none. It names, and tells nothing
        apart: replicas of an earlier plan go on.
    """

    deployment: str
    stage: str
    model: str
    version: str
    entry: ModelEntry
    hardware: Hardware
    replicas: int
    plan: str = ""

    @property
    def key(self) -> SetKey:
        """What it is found by in its deployment."""
        return SetKey(self.stage, self.version, self.hardware.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One replica as its target sees it.

    Parameters
    ----------
    id
        What the target calls it: a process, a container, a Pod.
    key
        The set that it belongs to.
    phase
        Whether it can serve.
    restarts
        How often it has been started again after it had ended by itself.
    since_s
        Seconds since the epoch when it was started last.
    message
        Why it is in that phase, where there is something to say: an exit code, the last line of its log.
    """

    id: str
    key: SetKey
    phase: Phase
    restarts: int = 0
    since_s: float = 0.0
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreOptions:
    """How a target runs the serving core of a deployment.

    Parameters
    ----------
    host, query_port, admin_port, rpc_port
        Where it listens, as seen from where the command runs; port 0 takes a free one.
    arguments
        Further options of ``inferline serve``.
    """

    host: str = "127.0.0.1"
    query_port: int = 1337
    admin_port: int = 1338
    rpc_port: int = 7000
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreAddress:
    """Where a serving core listens."""

    host: str
    query_port: int = 1337
    admin_port: int = 1338
    rpc_port: int = 7000


class Target(Protocol):
    """A place where replicas run. Every call returns soon; what takes longer shows in `list`.

    Every method raises OutsideError when the place cannot be reached, refuses, or answers nonsense, and says what was
    tried; nothing is then known about whether a change took place, and it can be repeated.
    """

    def start_core(self, deployment: str, options: CoreOptions) -> CoreAddress:
        """Have a serving core run for a deployment, and keep it running; changes nothing when it runs already."""

    def core(self, deployment: str) -> CoreAddress | None:
        """Return where the serving core listens that the place runs for a deployment; None when it runs none."""

    def core_trouble(self, deployment: str) -> str:
        """Return why that serving core does not run, or has ended before; nothing when the place cannot tell."""

    def start(self, wanted: ReplicaSet, core: CoreAddress) -> None:
        """Have exactly so many such replicas, and keep them running: one that ends is started again, with a back-off.

        What is missing is started, what is too many is stopped, newest and not yet ready ones first, each after the
        batch in hand. Asking for the same again changes nothing; 0 keeps the set in `requested` with no replicas.
        """

    def stop(self, deployment: str, key: SetKey | None = None) -> None:
        """Stop a set, or all of a deployment with its core, and forget it; nothing when it is not there."""

    def list(self, deployment: str) -> tuple[Replica, ...]:
        """Return the replicas that there are, whatever their phase."""

    def requested(self, deployment: str) -> Mapping[SetKey, int]:
        """Return how many replicas of each set are asked for at the place itself, whoever asked for them."""

    def close(self) -> None:
        """Let go of connections; what runs goes on."""
