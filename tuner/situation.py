"""What a policy is given and what it answers: values only; a policy is a pure function between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Pipeline, Plan, Routes

__all__ = ["Decision", "Future", "Observation", "Policy", "Reason", "Simulate", "Situation", "StageObservation"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Future:
    """What may come: queries from now on, those that are in the pipeline already, and the replicas that serve them.

    Parameters
    ----------
    arrival_ns
        int64 (n,), non-decreasing: when each query arrives, from now (0) on.
    begins
        By stage, bool (n,): the queries that begin there, each at one stage or at all entries. A query that is in the
        pipeline already begins where it is.
    taken
        By edge, bool (n,): the queries that take it if they visit the parent; an edge without an entry is always
        taken.
    replicas
        By stage, (from when, how many) serve, in the order of time; the first from 0 on.
    """

    arrival_ns: NDArray[np.int64]
    begins: Mapping[str, NDArray[np.bool_]]
    taken: Routes
    replicas: Mapping[str, tuple[tuple[int, int], ...]]


class Simulate(Protocol):
    """A simulator of the situation's pipeline; handed in, because the tuner imports none."""

    def __call__(self, situation: Situation, future: Future) -> NDArray[np.int64]:
        """Return the latency of every query from its arrival in the future, int64 (n,)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What does not change while a plan is in force.

    Parameters
    ----------
    pipeline, plan
        The pipeline, and what was planned for it.
    batch_latency_ns
        L(1) ... L(B) of each stage on its planned hardware, up to its planned maximum batch size.
    activation_ns
        From asking for a replica of a stage to its first answer.
    options
        Constants of the policy that differ from its defaults, by name.
    simulate
        Looks into a possible future; None where there is no simulator. Policies that look ahead need it.
    """

    pipeline: Pipeline
    plan: Plan
    batch_latency_ns: Mapping[str, tuple[int, ...]]
    activation_ns: Mapping[str, int]
    options: Mapping[str, Any] = field(default_factory=dict)
    simulate: Simulate | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageObservation:
    """What is seen of one stage at one instant.

    Parameters
    ----------
    arrival_ns
        int64 (n,), non-decreasing: when queries reached the stage's queue, of the last 120 s or since the start,
        whichever is shorter; on the clock of `Observation.now_ns`.
    queued, in_service
        Queries that wait, and that are in batches at replicas.
    requested
        Replicas asked for, those that are still starting included.
    ready
        Replicas that serve.
    utilisation
        Busy time over replica time since the observation before, in [0, 1].
    """

    arrival_ns: NDArray[np.int64]
    queued: int
    in_service: int
    requested: int
    ready: int
    utilisation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What is seen of the pipeline at one instant.

    Parameters
    ----------
    now_ns
        Monotonic clock.
    stages
        By stage, every one of the pipeline.
    """

    now_ns: int
    stages: Mapping[str, StageObservation]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a stage gets so many replicas.

    Parameters
    ----------
    rule
        Name of the rule that decided: ``envelope exceeded``, ``certified``, ``stabilisation`` ...
    window_ns
        The window that it looked at; 0 for none.
    measured, threshold
        What it compared, in the unit that the rule says.
    """

    rule: str
    window_ns: int = 0
    measured: float = 0.0
    threshold: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """How many replicas each stage should have.

    Parameters
    ----------
    replicas
        By stage, every one of the pipeline, within its bounds.
    reasons
        By stage, of those that change.
    """

    replicas: Mapping[str, int]
    reasons: Mapping[str, Reason] = field(default_factory=dict)


Policy = Callable[[Situation, Observation, Any], tuple[Decision, Any]]
"""From what is seen, and what the policy has noted at the tick before (None at first), to a decision and a note."""
