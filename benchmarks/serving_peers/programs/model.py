"""The models that every system serves, each in its own interpreter: nothing is imported but the standard library.

Both return the first number of each input. It is different in every query, so that a reply shows whose it is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

__all__ = ["AFFINE_FIXED_S", "AFFINE_PER_INPUT_S", "Predict", "model_s", "predict"]

MODEL = os.environ.get("BENCHMARK_MODEL", "noop")
AFFINE_FIXED_S = 0.005
AFFINE_PER_INPUT_S = 0.0005

Predict = Callable[[Sequence[Sequence[float]]], list[float]]


def model_s(model: str, batch: int) -> float:
    """Return how long a model takes for a batch: nothing, or 5 ms and 0.5 ms for each input."""
    return 0.0 if model == "noop" else AFFINE_FIXED_S + AFFINE_PER_INPUT_S * batch


def predict(inputs: Sequence[Sequence[float]]) -> list[float]:
    """Return the first number of each input, after the time that the model of the environment takes.

    It sleeps and does not compute: a model on an accelerator leaves the processor to the serving system.
    """
    if seconds := model_s(MODEL, len(inputs)):
        time.sleep(seconds)
    return [float(each[0]) for each in inputs]
