"""One model, and the default output when it is late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from serving_adapter.core.selection.policy import Combination, Predictions, default, first, read_state, state_text

__all__ = ["DefaultOutputSelectionPolicy"]


class _State(msgspec.Struct, frozen=True):
    """The default output, under the key that Clipper keeps it."""

    y_hat: str


@dataclass(frozen=True, slots=True)
class DefaultOutputSelectionPolicy:
    """Ask the first model, and give the default output when it does not answer in time. Feedback changes nothing."""

    @property
    def name(self) -> str:
        """As Clipper calls it."""
        return "DefaultOutputSelectionPolicy"

    def init(self, default_output: str, _models: Sequence[str], /) -> str:
        """Return a state that holds the default output."""
        return state_text(_State(default_output))

    def fit(self, state: str, _models: Sequence[str], /) -> str:
        """Return the state as it is."""
        return state

    def select(self, _state: str, models: Sequence[str], _rng: np.random.Generator, /) -> tuple[str, ...]:
        """Return the first model."""
        return tuple(models[:1])

    def combine(self, state: str, predictions: Predictions, /) -> Combination:
        """Return the prediction, or the default output."""
        return first(predictions) or default(read_state(_State, state).y_hat)

    def observe(self, state: str, _label: float, _predictions: Predictions, /) -> str:
        """Return the state as it is."""
        return state
