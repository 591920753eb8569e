"""An application as the core sees it: its models, its deadline, its selection policy and what that has learnt."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np

from serving_adapter.core.selection import POLICIES, SelectionPolicy
from serving_adapter.state import Application

__all__ = ["DEFAULT_POLICY", "MOST_USERS", "Endpoint", "Prediction", "QueryRefusedError"]

DEFAULT_POLICY = "DefaultOutputSelectionPolicy"

MOST_USERS = 100_000
"""Users of one application whose states are at hand; those of others are read when they are needed."""

_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)


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
    states
        What the policy has learnt, by user; handed on when an application's links change.

    Attributes
    ----------
    known
        Whether there is such a policy: another program may have registered one that is not.
    policy
        The policy; None when it is Clipper's own, which asks the one linked model and has nothing to learn: no state,
        no copies.
    """

    application: Application
    models: tuple[str, ...]
    keep: Callable[[str, int, str], None] = lambda name, uid, text: None  # noqa: ARG005
    states: dict[int, str] = field(default_factory=dict)
    default_output: bytes = b""
    slo_ns: int = 0
    known: bool = True
    policy: SelectionPolicy | None = None

    def __post_init__(self) -> None:
        self.default_output = self.application.default_output.encode()
        self.slo_ns = self.application.latency_slo_micros * 1000
        self.known = self.application.policy in POLICIES
        if self.application.policy != DEFAULT_POLICY:
            self.policy = POLICIES.get(self.application.policy)

    def chosen(self, uid: int, rng: np.random.Generator) -> Sequence[str]:
        """Return the models to ask for one query."""
        policy = self.policy
        if policy is None:
            return self.models[:1]
        return self._with_state(uid, lambda state: policy.select(state, self.models, rng))

    def combined(self, uid: int, asked: Sequence[str], answers: Mapping[str, bytes]) -> bytes | None:
        """Return the output of a query from those of its models that came in time; None for the default output."""
        policy = self.policy
        if policy is None:
            return next(iter(answers.values()), None)
        texts = _texts(asked, answers)
        combination = self._with_state(uid, lambda state: policy.combine(state, texts))
        return None if combination.is_default else combination.output.encode()

    def learn(self, uid: int, label: float, asked: Sequence[str], answers: Mapping[str, bytes]) -> None:
        """Have the policy learn from the true label."""
        policy = self.policy
        if policy is None:
            return
        texts = _texts(asked, answers)
        state = self._with_state(uid, lambda state: policy.observe(state, label, texts))
        self.remember(uid, state)
        self.keep(self.application.name, uid, state)

    def remember(self, uid: int, state: str) -> None:
        """Have the state of a user at hand; the one that was remembered first makes room."""
        self.states.pop(uid, None)
        if len(self.states) >= MOST_USERS:
            del self.states[next(iter(self.states))]
        self.states[uid] = state

    def initial_state(self) -> str:
        """Return what the policy starts from, as it is kept."""
        return POLICIES[self.application.policy].init(self.application.default_output, self.models)

    def _with_state(self, uid: int, use: Callable[[str], _Result]) -> _Result:
        """Use the state of a user; one that makes no sense, which only somebody else can have kept, begins anew."""
        try:
            return use(self.states.get(uid) or self.initial_state())
        except (ValueError, ArithmeticError) as error:
            _log.warning("event=state_reset application=%s uid=%d reason=%s", self.application.name, uid, error)
            state = self.initial_state()
            self.remember(uid, state)
            return use(state)


def _texts(asked: Sequence[str], answers: Mapping[str, bytes]) -> dict[str, str | None]:
    """Return the outputs as texts, None for a model that has not answered."""
    return {model: answers[model].decode("utf-8", "replace") if model in answers else None for model in asked}
