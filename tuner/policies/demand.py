"""What every stage has to be ready for: what comes now, and how much more may come before help can.

A replica that is asked for now serves after its activation delay. How much the traffic grows by then, nobody knows:
the sharpest rises are those of which nothing was to be seen before they began. So growth is insured like any other
risk, at a constant rate: a stage whose replicas start at once needs next to none of it, one that takes half a minute
to grow has to hold what it will need in half a minute.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inferline.units import NANO
from tuner.policies.bounds import arrived
from tuner.situation import Observation, Situation

__all__ = ["Demand", "demand", "shares_seen", "window_qps"]

SHORT_NS = 5 * NANO
"""The rate now is that of the last 5 s: long enough to tell it from noise, as long as a replica takes to start."""

_WINDOWS_NS = (SHORT_NS, 15 * NANO, 60 * NANO)
_SHARE_NS = 60 * NANO
_DEVIATIONS = 3.0

Edge = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What comes to the stages of a pipeline.

    Parameters
    ----------
    rate_qps
        By stage, queries per second, now.
    growth
        By stage, at least 1: how many times as many there may be when a replica that is asked for now serves.
    shares
        By edge (parent, child), queries at the child for each at the parent.
    """

    rate_qps: Mapping[str, float]
    growth: Mapping[str, float]
    shares: Mapping[Edge, float]


def demand(situation: Situation, observation: Observation, *, growth_per_s: float, period_ns: int) -> Demand:
    """Return what comes to every stage.

    A stage expects what arrives at its own queue, and the share that it lately got of what its parents expect: a
    branch that turns hot is seen where it does, and a rise before it has come through.

    Parameters
    ----------
    growth_per_s
        By what part of itself the traffic may grow in a second, at least 0.
    period_ns
        From one look to the next.

    Notes
    -----
    Insured is the growth of the activation delay, of one period, because a rise may begin just after a look, and of
    half a short window, which is how old the rate now is.
    """
    now_ns = observation.now_ns
    shares = shares_seen(situation, observation)
    rate_qps: dict[str, float] = {}
    for stage in situation.pipeline.stages:
        from_parents = (rate_qps[edge.parent] * shares[edge.parent, stage.name] for edge in stage.parents)
        rate_qps[stage.name] = max(window_qps(observation.stages[stage.name].arrival_ns, now_ns), *from_parents, 0.0)
    late_ns = period_ns + SHORT_NS // 2
    growth = {
        name: 1.0 + growth_per_s * (delay_ns + late_ns) / NANO for name, delay_ns in situation.activation_ns.items()
    }
    return Demand(rate_qps=rate_qps, growth=growth, shares=shares)


def window_qps(arrival_ns: NDArray[np.int64], now_ns: int) -> float:
    """Return the largest of the rates in the last 5, 15 and 60 s; int64 (n,), non-decreasing.

    So a rise counts within 5 s, and a fall only when it has lasted.
    """
    return max(arrived(arrival_ns, now_ns, window_ns) * NANO / window_ns for window_ns in _WINDOWS_NS)


def shares_seen(situation: Situation, observation: Observation) -> dict[Edge, float]:
    """Return, by edge, queries at the child for each at the parent, at most 1.

    That of the last minute, or that of the last 5 s, less what chance may have added to it, if that is more.
    """
    now_ns = observation.now_ns

    def seen(edge: Edge, window_ns: int, deviations: float) -> float:
        parent, child = (arrived(observation.stages[name].arrival_ns, now_ns, window_ns) for name in edge)
        share = min(1.0, child / parent) if parent else 0.0
        return share - deviations * math.sqrt(share * (1.0 - share) / max(parent, 1))

    edges = [(edge.parent, stage.name) for stage in situation.pipeline.stages for edge in stage.parents]
    return {edge: max(seen(edge, _SHARE_NS, 0.0), seen(edge, SHORT_NS, _DEVIATIONS)) for edge in edges}
