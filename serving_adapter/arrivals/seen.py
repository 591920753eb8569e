"""What is seen of a pipeline's stages, wherever it was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inferline.units import NANO

__all__ = ["KEPT_NS", "PipelineSeen", "StageSeen", "utilisation"]

KEPT_NS = 120 * NANO
"""How far back arrivals are told of: two of the longest windows of a traffic envelope."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageSeen:
    """One stage.

    Parameters
    ----------
    arrival_ns
        int64 (n,), non-decreasing: when queries reached its queue, of the last 120 s, on the core's monotonic clock.
    queued, in_service, replicas
        Queries that wait, those that are at replicas, and replicas that serve.
    utilisation
        Busy time over replica time since the look before, in [0, 1]; 0 at the first.
    """

    arrival_ns: NDArray[np.int64]
    queued: int
    in_service: int
    replicas: int
    utilisation: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PipelineSeen:
    """One pipeline.

    Parameters
    ----------
    start
        Tells the core's process from others.
    now_ns
        The core's monotonic clock at the instant that this is about.
    age_ns
        How long ago that was.
    stages
        By name.
    """

    start: str
    now_ns: int
    age_ns: int
    stages: Mapping[str, StageSeen]


def utilisation(busy_ns: float, replicas: float, span_ns: float) -> float:
    """Return busy time over replica time; batches count when they are answered, so that it is cut at 1."""
    return min(1.0, max(0.0, busy_ns / (replicas * span_ns))) if replicas > 0 and span_ns > 0 else 0.0
