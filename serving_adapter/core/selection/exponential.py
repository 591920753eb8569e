"""Policies with exponential weights: Exp3 asks one model, Exp4 asks all (Auer et al., SIAM J. Comput. 32, 2002)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from serving_adapter.core.selection.policy import (
    Combination,
    Predictions,
    default,
    first,
    loss,
    number,
    read_state,
    state_text,
)

__all__ = ["Exp3", "Exp4"]

_ETA = 0.01

_LEAST = 1e-6
"""Least weight, at a mean of 1. Without one a model that was bad for long could not come back in any time."""


class _State(msgspec.Struct, frozen=True):
    """Weights by model. Only their ratios matter, so they are kept at a mean of 1, far from any underflow."""

    default_output: str
    weights: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exp3:
    """Ask one model, drawn by weight; a model's weight falls with its losses, each divided by its probability.

    The division makes up for how rarely a model is asked: in the mean, weights move as if all had been asked.

    Parameters
    ----------
    eta
        Learning rate.
    """

    eta: float = _ETA

    @property
    def name(self) -> str:
        """As the paper calls it."""
        return "Exp3"

    def init(self, default_output: str, models: Sequence[str], /) -> str:
        """Return equal weights."""
        return _first_state(default_output, models)

    def fit(self, state: str, models: Sequence[str], /) -> str:
        """Return the weights of these models; a new one has the mean weight of those that stay."""
        return _fit(state, models)

    def select(self, state: str, models: Sequence[str], rng: np.random.Generator, /) -> tuple[str, ...]:
        """Draw one model."""
        shares = _shares(read_state(_State, state).weights, models)
        drawn = rng.random()
        for model, share in shares.items():
            drawn -= share
            if drawn < 0:
                return (model,)
        return tuple(models[-1:])  # the shares may add up to a little less than what was drawn

    def combine(self, state: str, predictions: Predictions, /) -> Combination:
        """Return the prediction, or the default output."""
        return first(predictions) or default(read_state(_State, state).default_output)

    def observe(self, state: str, label: float, predictions: Predictions, /) -> str:
        """Lower the weight of the model that was asked."""
        before = read_state(_State, state)
        shares = _shares(before.weights, _union(before.weights, predictions))
        return _lowered(
            before.default_output,
            shares,
            {model: self.eta * lost / shares[model] for model, lost in _losses(predictions, label).items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Exp4:
    """Ask all models and answer 0 or 1, whichever has more weight; every model's weight falls with its losses.

    Clipper's early code added up the weighted predictions in an integer, hence always answered 0 or a full 1; here
    they are added as numbers. It also divided each loss by the model's probability, as Exp3 has to; where all losses
    are seen, that only makes a model sink the faster the lower it is, and one that fell behind by bad luck, or was
    bad for a while, never comes back. Here losses count as they are.

    Parameters
    ----------
    eta
        Learning rate.
    """

    eta: float = _ETA

    @property
    def name(self) -> str:
        """As the paper calls it."""
        return "Exp4"

    def init(self, default_output: str, models: Sequence[str], /) -> str:
        """Return equal weights."""
        return _first_state(default_output, models)

    def fit(self, state: str, models: Sequence[str], /) -> str:
        """Return the weights of these models; a new one has the mean weight of those that stay."""
        return _fit(state, models)

    def select(self, _state: str, models: Sequence[str], _rng: np.random.Generator, /) -> tuple[str, ...]:
        """Return all models."""
        return tuple(models)

    def combine(self, state: str, predictions: Predictions, /) -> Combination:
        """Return 1 when the weighted mean of the predictions is at least 0.5, else 0.

        Weights count among those that have answered with a number, which is the same as putting their weighted mean
        in the place of the others.
        """
        before = read_state(_State, state)
        outputs = {model: output for model, output in predictions.items() if output is not None}
        values = {model: value for model, output in outputs.items() if (value := number(output)) is not None}
        if not values:
            return default(before.default_output)
        shares = _shares(before.weights, tuple(values))
        answer = sum(share * values[model] for model, share in shares.items()) >= 0.5
        agree = sum((value >= 0.5) == answer for value in values.values())
        return Combination("1" if answer else "0", False, agree / len(predictions))

    def observe(self, state: str, label: float, predictions: Predictions, /) -> str:
        """Lower the weights of all models that have answered."""
        before = read_state(_State, state)
        shares = _shares(before.weights, _union(before.weights, predictions))
        return _lowered(
            before.default_output,
            shares,
            {model: self.eta * lost for model, lost in _losses(predictions, label).items()},
        )


def _first_state(default_output: str, models: Sequence[str]) -> str:
    return state_text(_State(default_output, dict.fromkeys(models, 1.0)))


def _fit(state: str, models: Sequence[str]) -> str:
    before = read_state(_State, state)
    return _lowered(before.default_output, _shares(before.weights, models), {})


def _union(known: Iterable[str], asked: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*known, *asked)))


def _losses(predictions: Predictions, label: float) -> dict[str, float]:
    return {model: loss(output, label) for model, output in predictions.items() if output is not None}


def _shares(weights: Mapping[str, float], models: Sequence[str]) -> dict[str, float]:
    """Return the weights of these models as probabilities, the unknown ones at the mean of the known."""
    known = [weights[model] for model in models if model in weights]
    mean = sum(known) / len(known) if known else 1.0
    chosen = {model: weights.get(model, mean) for model in models}
    total = sum(chosen.values())
    return {model: weight / total for model, weight in chosen.items()}


def _lowered(default_output: str, shares: Mapping[str, float], exponents: Mapping[str, float]) -> str:
    """Return the state with each weight times exp(-exponent), at a mean of 1 again."""
    weights = {model: share * math.exp(-exponents.get(model, 0.0)) for model, share in shares.items()}
    mean = sum(weights.values()) / len(weights) if weights else 1.0
    if mean == 0:  # each was all but sure to be wrong: nothing is known of any
        return _first_state(default_output, tuple(weights))
    return state_text(
        _State(default_output, {model: max(_LEAST, weight / mean) for model, weight in weights.items()})
    )
