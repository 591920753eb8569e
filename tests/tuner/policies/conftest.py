"""What policies see of the two stages of the folder above, small enough to be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tuner.situation import Observation, StageObservation

S = 1_000_000_000

NOTHING = np.empty(0, dtype=np.int64)


@pytest.fixture
def seen() -> Callable[..., StageObservation]:
    """Return a function from what differs to what is seen of a stage: nothing arrives, one replica idles."""

    def of(**differs: Any) -> StageObservation:
        if "replicas" in differs:
            differs["requested"] = differs["ready"] = differs.pop("replicas")
        nothing = StageObservation(arrival_ns=NOTHING, queued=0, in_service=0, requested=1, ready=1, utilisation=0.0)
        return replace(nothing, **differs)

    return of


@pytest.fixture
def at(seen) -> Callable[..., Observation]:
    """Return a function from the time in seconds and what is seen of the stages to an observation."""

    def of(now_s: float, **stages: StageObservation) -> Observation:
        both = {"detect": seen(), "read": seen(), **stages}
        return Observation(now_ns=round(now_s * S), stages=both)

    return of


@pytest.fixture
def steady() -> Callable[..., np.ndarray]:
    """Return a function to evenly spaced arrivals of the last 120 s, or since 0."""

    def of(now_s: float, rate: float) -> np.ndarray:
        first = max(0.0, now_s - 120)
        return np.rint((first + np.arange(round((now_s - first) * rate)) / rate) * S).astype(np.int64)

    return of
