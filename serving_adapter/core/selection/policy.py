"""What every selection policy offers, and the steps they share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

import msgspec
import numpy as np

__all__ = [
    "Combination",
    "Predictions",
    "SelectionPolicy",
    "StateError",
    "default",
    "first",
    "loss",
    "number",
    "read_state",
    "state_text",
]

Predictions = Mapping[str, str | None]
"""Every model that was asked: its output text, or None when it has not answered in time."""

_State = TypeVar("_State", bound=msgspec.Struct)


class StateError(ValueError):
    """A text is not a state of the policy that it was given to."""


class Combination(NamedTuple):
    """What is answered.

    Parameters
    ----------
    output
        The output text.
    is_default
        Whether it is the default output, because no model answered in time.
    confidence
        Share of the models asked whose prediction agrees with the output; one that has not answered does not.
    """

    output: str
    is_default: bool
    confidence: float


class SelectionPolicy(Protocol):
    """One way to choose models; pure.

    The state, of an application or of one user of it, comes in and goes out as a JSON text, for the caller to keep.
    Models that a state does not know are taken as new. All calls raise `StateError` when they need the state and it
    is not one of theirs.
    """

    @property
    def name(self) -> str:
        """What the application's registration calls it."""

    def init(self, default_output: str, models: Sequence[str], /) -> str:
        """Return the first state."""

    def fit(self, state: str, models: Sequence[str], /) -> str:
        """Return the state for exactly these models, after some were linked or unlinked."""

    def select(self, state: str, models: Sequence[str], rng: np.random.Generator, /) -> tuple[str, ...]:
        """Return whom to ask: for a prediction, or for what feedback is to be compared with. Nobody if none is there.

        Only these models are chosen from, whatever others the state knows.
        """

    def combine(self, state: str, predictions: Predictions, /) -> Combination:
        """Return what to answer, given what has arrived by the deadline."""

    def observe(self, state: str, label: float, predictions: Predictions, /) -> str:
        """Return the state after feedback: the truth, and what those whom `select` named had predicted."""


def loss(prediction: str, label: float) -> float:
    """Return the distance of a prediction from the truth, cut to [0, 1]; 1 when it is no number."""
    value = number(prediction)
    return 1.0 if value is None else min(1.0, abs(value - label))


def number(prediction: str) -> float | None:
    """Return the finite number that a prediction is; None when it is none."""
    try:
        value = float(prediction)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def first(predictions: Predictions) -> Combination | None:
    """Return the first prediction that is there, for policies that ask one model; None when there is none."""
    for prediction in predictions.values():
        if prediction is not None:
            return Combination(prediction, False, 1.0)
    return None


def default(output: str) -> Combination:
    """Return the default output; nobody is confident of it."""
    return Combination(output, True, 0.0)


def read_state(kind: type[_State], state: str) -> _State:
    """Read a state.

    Raises
    ------
    StateError
        When the text is not of this kind.
    """
    try:
        return msgspec.json.decode(state, type=kind)
    except msgspec.MsgspecError as error:
        raise StateError(f"state {state[:80]!r} is not one of this selection policy: {error}") from error


def state_text(state: msgspec.Struct) -> str:
    """Return a state as JSON."""
    return msgspec.json.encode(state).decode()
