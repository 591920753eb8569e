"""Replicas that drain what has piled up: how much there will be when they serve, and how fast it shall go."""

from __future__ import annotations

import math
from collections.abc import Mapping

from inferline.units import NANO
from tuner.policies.bounds import arrived
from tuner.policies.delays import throughput_qps
from tuner.situation import Observation, Situation

__all__ = ["Asked", "asked_after", "draining", "starting_ns"]

Asked = Mapping[str, tuple[tuple[int, int], ...]]
"""By stage, (instant, replicas) of what was asked for and may still be starting."""


def draining(
    situation: Situation,
    observation: Observation,
    asked: Asked,
    rate_qps: Mapping[str, float],
    share: Mapping[tuple[str, str], float],
    drain_s: float,
) -> dict[str, int]:
    """Return the replicas with which each stage's backlog is gone in time; 0 where nothing piles up.

    There is a backlog when more queries wait than the ready replicas take in their next batches, or in half of the
    SLO's latency if that is more. Until new replicas serve, the queue grows or shrinks by what arrives less what
    those that are ready, or will be, can do. While there is a backlog, nothing is taken away. What drains at one
    stage arrives at the next.

    Parameters
    ----------
    asked
        What may still be starting.
    rate_qps
        By stage, the arrivals that are expected.
    share
        By edge, queries that come this way for each that leaves the parent.
    drain_s
        How long the draining may last once the new replicas serve; above 0.
    """
    released_qps: dict[str, float] = {}
    counts = dict.fromkeys(observation.stages, 0)
    ready_ns = starting_ns(situation, observation, asked)
    for stage in situation.pipeline.stages:
        seen = observation.stages[stage.name]
        table_ns = situation.batch_latency_ns[stage.name]
        delay_s = situation.activation_ns[stage.name] / NANO
        replica_qps = throughput_qps(table_ns)
        inflow_qps = max(rate_qps[stage.name], released_qps.get(stage.name, 0.0))
        soon = max(len(table_ns), replica_qps * situation.plan.slo.latency_ns / NANO / 2)
        waiting = seen.queued - max(seen.ready, 1) * soon
        drain_qps = 0.0
        if waiting > 0:
            inflow_qps = max(inflow_qps, float(arrived(seen.arrival_ns, observation.now_ns, NANO)))
            full_ns = observation.now_ns + situation.activation_ns[stage.name]
            replica_s = min(seen.ready, seen.requested) * delay_s
            replica_s += sum(full_ns - each_ns for each_ns in ready_ns[stage.name]) / NANO
            served = replica_qps * replica_s
            drain_qps = max(0.0, waiting + inflow_qps * delay_s - served) / drain_s
            counts[stage.name] = seen.requested
        if drain_qps > 0.0 or inflow_qps > rate_qps[stage.name]:
            counts[stage.name] = max(counts[stage.name], math.ceil((inflow_qps + drain_qps) / replica_qps))
        # What drains leaves as fast as the replicas can.
        outflow_qps = counts[stage.name] * replica_qps if waiting > 0 else inflow_qps
        for child, _ in situation.pipeline.children(stage.name):
            onwards = share.get((stage.name, child.name), 0.0) * outflow_qps
            released_qps[child.name] = max(released_qps.get(child.name, 0.0), onwards)
    return counts


def asked_after(
    situation: Situation, observation: Observation, asked: Asked, replicas: Mapping[str, int]
) -> dict[str, tuple[tuple[int, int], ...]]:
    """Return what may still be starting once the decision has been acted on."""
    now_ns = observation.now_ns
    after = {}
    for name, count in replicas.items():
        more = count - observation.stages[name].requested
        still = tuple(each for each in asked.get(name, ()) if each[0] + situation.activation_ns[name] > now_ns)
        after[name] = (*still, (now_ns, more)) if more > 0 else still
    return after


def starting_ns(situation: Situation, observation: Observation, asked: Asked) -> dict[str, tuple[int, ...]]:
    """Return, by stage, when its replicas that are starting will be ready, ascending.

    Those that nobody remembers asking for take the whole activation delay from now on.
    """
    now_ns = observation.now_ns
    ready: dict[str, tuple[int, ...]] = {}
    for name, seen in observation.stages.items():
        delay_ns = situation.activation_ns[name]
        starting = max(0, seen.requested - seen.ready)
        remembered = [
            max(asked_ns + delay_ns, now_ns) for asked_ns, count in asked.get(name, ()) for _ in range(count)
        ]
        # What was asked for last is what still starts.
        known = sorted(remembered)[max(0, len(remembered) - starting) :]
        ready[name] = tuple(sorted([*known, *[now_ns + delay_ns] * (starting - len(known))]))
    return ready
