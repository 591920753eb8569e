"""An application as the core sees it: its models, its deadline, its selection policy and what that has learnt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from serving_adapter.core.selection import POLICIES, SelectionPolicy
from serving_adapter.state import Application

__all__ = ["Endpoint", "Prediction", "QueryRefusedError"]


class QueryRefusedError(ValueError):
    """A query that cannot be served; the sentence is for the client."""


class Prediction(NamedTuple):
    """What one query ends with.

    Parameters
    ----------
    query_id
        Its number in this process.
    output
        The container's output, or the application's default output.
    default
        Whether it is the default output.
    explanation
        Why; empty when it is not the default, or no reason is known.
    """

    query_id: int
    output: bytes
    default: bool = False
    explanation: str = ""


@dataclass(slots=True, eq=False)
class Endpoint:
    """One application.

    Parameters
    ----------
    application
        As it is registered.
    models
        Linked models, sorted.
    keep
        Called with (application, uid, state) when a policy has learnt something.
    """

    application: Application
    models: tuple[str, ...]
    keep: Callable[[str, int, str], None] = lambda name, uid, text: None  # noqa: ARG005
    default_output: bytes = b""
    slo_ns: int = 0
    policy: SelectionPolicy | None = None
    states: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.default_output = self.application.default_output.encode()
        self.slo_ns = self.application.latency_slo_micros * 1000
        # Clipper's default policy asks the one linked model and has nothing to learn: no state, no copies.
        if self.application.policy != "DefaultOutputSelectionPolicy":
            self.policy = POLICIES[self.application.policy]

    def chosen(self, uid: int, rng: np.random.Generator) -> Sequence[str]:
        """Return the models to ask for one query."""
        if self.policy is None:
            return self.models[:1]
        return self.policy.select(self._state(uid), self.models, rng)

    def combined(self, uid: int, asked: Sequence[str], answers: Mapping[str, bytes]) -> bytes | None:
        """Return the output of a query from those of its models that came in time; None for the default output."""
        if self.policy is None:
            return next(iter(answers.values()), None)
        combination = self.policy.combine(self._state(uid), _texts(asked, answers))
        return None if combination.is_default or combination.output is None else combination.output.encode()

    def learn(self, uid: int, label: float, asked: Sequence[str], answers: Mapping[str, bytes]) -> None:
        """Have the policy learn from the true label."""
        if self.policy is not None:
            state = self.policy.observe(self._state(uid), label, _texts(asked, answers))
            self.states[uid] = state
            self.keep(self.application.name, uid, state)

    def initial_state(self) -> str:
        """Return what the policy starts from, as it is kept."""
        return POLICIES[self.application.policy].init(self.application.default_output, self.models)

    def _state(self, uid: int) -> str:
        if uid not in self.states:
            self.states[uid] = self.initial_state()
        return self.states[uid]


def _texts(asked: Sequence[str], answers: Mapping[str, bytes]) -> dict[str, str | None]:
    """Return the outputs as texts, None for a model that has not answered."""
    return {model: answers[model].decode("utf-8", "replace") if model in answers else None for model in asked}
