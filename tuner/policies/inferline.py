"""The tuner of the InferLine paper: traffic envelopes against the plan's (Crankshaw et al., SoCC 2020, section 5).

Up: as soon as the rate in any window of the envelope exceeds the planned one, every stage gets
k_m = ceil(r_max s_m / (mu_m rho_m)) replicas, r_max the largest exceeding rate. Down: 15 s after any change,
k_m = ceil(lambda_new s_m / (mu_m rho_p)), lambda_new the largest rate of the last 30 s in windows of 5 s. Here s_m
is the scale factor of stage m, mu_m the throughput of a replica at its maximum batch size, rho_m the planned load of
the stage over its planned capacity, and rho_p the least rho_m of all stages.

Two things are not said there and are decided here. A pipeline that was scaled down below its plan grows again by the
formula for scaling down, at once and up to the plan: until the traffic exceeds the planned envelope, nothing else
would make it grow. And a window counts when it ends after the tick before: one burst is one reason to scale up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from inferline.units import NANO
from tuner.policies.bounds import arrived, constants, decide, requested
from tuner.policies.evidence import exceeded
from tuner.situation import Decision, Observation, Reason, Situation

__all__ = ["PERIOD_NS", "InferlineConstants", "InferlineNote", "inferline"]

PERIOD_NS = NANO


@dataclass(frozen=True, slots=True, kw_only=True)
class InferlineConstants:
    """Constants of `inferline`, with the values of the paper.

    Parameters
    ----------
    calm_s
        Time after a change in which nothing is taken away: 15 s, three times the activation of a replica.
    rate_window_s, rate_span_s
        Scaling down looks at windows of 5 s in the last 30 s.
    """

    calm_s: float = 15.0
    rate_window_s: float = 5.0
    rate_span_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InferlineNote:
    """What `inferline` remembers: the tick before, and when it last changed anything."""

    tick_ns: int
    changed_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """One stage of the plan: replicas, scale factor, throughput of a replica, load over capacity."""

    replicas: int
    scale: float
    replica_qps: float
    load: float

    def needed(self, rate_qps: float, load: float) -> int:
        """Return ceil(rate s_m / (mu_m load)); a hair below a whole number is that number."""
        return math.ceil(rate_qps * self.scale / (self.replica_qps * load) - 1e-9) if load else self.replicas


def inferline(
    situation: Situation, observation: Observation, note: InferlineNote | None
) -> tuple[Decision, InferlineNote]:
    """Decide as the paper's tuner does; to be called every `PERIOD_NS`.

    Parameters
    ----------
    situation, observation, note
        As of every `tuner.situation.Policy`; options are `InferlineConstants`.
    """
    given = constants(InferlineConstants, situation.options)
    now_ns = observation.now_ns
    seen = note or InferlineNote(tick_ns=now_ns, changed_ns=now_ns)
    entry = next(stage.name for stage in situation.pipeline.stages if stage.is_entry)
    arrival_ns = observation.stages[entry].arrival_ns
    planned = _planned(situation)
    wanted = requested(observation)
    above = exceeded(situation.plan, arrival_ns, seen.tick_ns)
    if above is not None:
        reason = above
        for name, stage in planned.items():
            wanted[name] = max(wanted[name], stage.needed(above.measured, stage.load))
    else:
        rate_qps = _recent_qps(arrival_ns, now_ns, given)
        reason = Reason(rule="largest recent rate", window_ns=round(given.rate_window_s * NANO), measured=rate_qps)
        least = min((stage.load for stage in planned.values() if stage.load), default=1.0)
        calm = now_ns - seen.changed_ns >= round(given.calm_s * NANO)
        for name, stage in planned.items():
            count = max(1, stage.needed(rate_qps, least))
            if count > wanted[name]:
                wanted[name] = max(wanted[name], min(count, stage.replicas))
            elif calm:
                wanted[name] = count
    decision = decide(situation, observation, wanted, dict.fromkeys(wanted, reason))
    changed = any(count != observation.stages[name].requested for name, count in decision.replicas.items())
    return decision, InferlineNote(tick_ns=now_ns, changed_ns=now_ns if changed else seen.changed_ns)


def _planned(situation: Situation) -> Mapping[str, _Planned]:
    plan = situation.plan
    sample_qps = plan.predicted.queries / _sample_s(situation)
    stages = {}
    for name, chosen in plan.configuration.items():
        scale = plan.predicted.stages[name].visits / plan.predicted.queries
        replica_qps = chosen.max_batch * NANO / situation.batch_latency_ns[name][chosen.max_batch - 1]
        load = sample_qps * scale / (replica_qps * chosen.replicas)
        stages[name] = _Planned(replicas=chosen.replicas, scale=scale, replica_qps=replica_qps, load=load)
    return stages


def _sample_s(situation: Situation) -> float:
    """Return how long the plan's sample lasts, from what the plan says of its stages.

    A stage's busy time is utilisation x replicas x the time, and also batches x L(mean batch), exactly so where L is
    a straight line between the batch sizes that occur. The median of what the stages say is taken; where none says
    anything, the sample is taken to be as long as the longest window of its envelope.
    """
    lengths_s = []
    for name, stage in situation.plan.predicted.stages.items():
        if stage.visits and stage.utilisation:
            table_ns = situation.batch_latency_ns[name]
            batch_ns = float(np.interp(stage.mean_batch, np.arange(1, len(table_ns) + 1), table_ns))
            busy_s = stage.visits / stage.mean_batch * batch_ns / NANO
            lengths_s.append(busy_s / (stage.utilisation * situation.plan.configuration[name].replicas))
    return median(lengths_s) if lengths_s else situation.plan.envelope.window_s[-1]


def _recent_qps(arrival_ns: NDArray[np.int64], now_ns: int, given: InferlineConstants) -> float:
    """Return the largest rate of the recent windows, which end now, one window ago, two windows ago ..."""
    window_ns = round(given.rate_window_s * NANO)
    windows = max(1, round(given.rate_span_s / given.rate_window_s))
    counts = (arrived(arrival_ns, now_ns - k * window_ns, window_ns) for k in range(windows))
    return max(counts) / given.rate_window_s
