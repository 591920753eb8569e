"""Policies that go by mean losses: epsilon-greedy and UCB1 (Auer et al., Machine Learning 47, 2002)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
import numpy as np

from serving_adapter.core.selection.policy import (
    Combination,
    Predictions,
    default,
    first,
    loss,
    read_state,
    state_text,
)

__all__ = ["MeanLossPolicy", "epsilon_greedy", "ucb1"]

_EPSILON = 0.1


class _Loss(msgspec.Struct, frozen=True):
    """Mean of so many losses; with 0 of them, what a new model is taken to lose."""

    mean: float
    count: int


class _State(msgspec.Struct, frozen=True):
    default_output: str
    losses: dict[str, _Loss]


_Choose = Callable[[Mapping[str, _Loss], np.random.Generator], str]


@dataclass(frozen=True, slots=True)
class MeanLossPolicy:
    """Ask one model, chosen by the mean losses of all; see `epsilon_greedy` and `ucb1`."""

    name: str
    _choose: _Choose

    def init(self, default_output: str, models: Sequence[str], /) -> str:
        """Return a state in which no model has lost anything."""
        return state_text(_State(default_output, dict.fromkeys(models, _Loss(0.0, 0))))

    def fit(self, state: str, models: Sequence[str], /) -> str:
        """Return the losses of these models; a new one is taken to lose what those that stay lose in the mean."""
        before = read_state(_State, state)
        return state_text(_State(before.default_output, _of(before.losses, models)))

    def select(self, state: str, models: Sequence[str], rng: np.random.Generator, /) -> tuple[str, ...]:
        """Choose one model."""
        losses = _of(read_state(_State, state).losses, models)
        return (self._choose(losses, rng),) if losses else ()

    def combine(self, state: str, predictions: Predictions, /) -> Combination:
        """Return the prediction, or the default output."""
        return first(predictions) or default(read_state(_State, state).default_output)

    def observe(self, state: str, label: float, predictions: Predictions, /) -> str:
        """Add the loss of the model that was asked."""
        before = read_state(_State, state)
        losses = _of(before.losses, tuple(dict.fromkeys((*before.losses, *predictions))))
        for model, output in predictions.items():
            if output is not None:
                seen = losses[model]
                mean = (seen.mean * seen.count + loss(output, label)) / (seen.count + 1)
                losses[model] = _Loss(mean, seen.count + 1)
        return state_text(_State(before.default_output, losses))


def epsilon_greedy(epsilon: float = _EPSILON) -> MeanLossPolicy:
    """Return the policy that asks the model of least mean loss, or, with probability epsilon, any."""
    return MeanLossPolicy("EpsilonGreedy", partial(_greedy, epsilon))


def ucb1() -> MeanLossPolicy:
    """Return the policy that asks whose mean loss may be least: mean - sqrt(2 ln t / n) when asked n of t times.

    Clipper's early code adds the bound instead, and takes the number of models for t: it stays with the model it has
    asked most, and tries no other.
    """
    return MeanLossPolicy("UCB1", _least_bound)


def _greedy(epsilon: float, losses: Mapping[str, _Loss], rng: np.random.Generator) -> str:
    if rng.random() < epsilon:
        return tuple(losses)[rng.integers(len(losses))]
    return min(losses, key=lambda model: losses[model].mean)


def _least_bound(losses: Mapping[str, _Loss], _rng: np.random.Generator) -> str:
    total = sum(seen.count for seen in losses.values())

    def bound(model: str) -> float:
        seen = losses[model]
        return seen.mean - math.sqrt(2 * math.log(total) / seen.count) if seen.count else -math.inf

    return min(losses, key=bound)


def _of(losses: Mapping[str, _Loss], models: Sequence[str]) -> dict[str, _Loss]:
    """Return the losses of these models, the unknown ones at the mean of the known and without a count."""
    known = [losses[model].mean for model in models if model in losses]
    new = _Loss(sum(known) / len(known) if known else 0.0, 0)
    return {model: losses.get(model, new) for model in models}
