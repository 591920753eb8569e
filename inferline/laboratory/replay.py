"""One policy on one trace, in the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferline.laboratory.experiment import Experiment
from inferline.laboratory.forward import look_ahead, network_of
from inferline.units import NANO
from simulator.controlled import ControlledResult, StationView, simulate_controlled
from tuner.situation import Observation, Policy, Reason, Situation, StageObservation

__all__ = ["Change", "Replay", "replay"]

Instants = NDArray[np.int64]

_HOUR_NS = 3600 * NANO


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of what a stage asks for.

    Parameters
    ----------
    at_ns, stage
        When and where.
    before, after
        Replicas requested.
    reason
        What the policy says of it; None for nothing.
    """

    at_ns: int
    stage: str
    before: int
    after: int
    reason: Reason | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Replay:
    """What a policy did on a trace.

    Parameters
    ----------
    policy
        Its name.
    experiment
        What it was replayed on.
    result
        What the simulator says: latencies, replicas over time, and what is paid.
    changes
        What the policy changed, in the order of time.
    """

    policy: str
    experiment: Experiment
    result: ControlledResult
    changes: tuple[Change, ...]

    @property
    def late(self) -> NDArray[np.bool_]:
        """Which queries are late; bool (queries,)."""
        return self.result.latency_ns > self.experiment.situation.pipeline.slo.latency_ns

    @property
    def cost_nano_usd(self) -> int:
        """What the replicas cost over the whole trace, each from its request to the end of its last batch."""
        situation = self.experiment.situation
        configuration = situation.plan.configuration
        paid = 0
        for name, paid_ns in self.result.paid_ns.items():
            paid += situation.pipeline.unit(configuration[name].hardware).price_nano_usd_per_hour * paid_ns
        return (paid + _HOUR_NS // 2) // _HOUR_NS


def replay(
    experiment: Experiment,
    name: str,
    policy: Policy,
    period_ns: int = NANO,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Replay:
    """Replay a policy on a trace.

    The policy looks at the pipeline at every period, beginning with the first, on the clock of the trace. Replicas
    that it asks for serve after the activation delay; those that it gives up drain. Where a hardware's limit leaves
    too few units, stages get theirs in topological order.

    Parameters
    ----------
    experiment
        Pipeline, plan and trace.
    name
        Of the policy.
    policy
        What decides.
    period_ns
        From one look to the next.
    options
        Constants of the policy, over those of the experiment's situation.

    Raises
    ------
    ValueError
        When the policy asks for replicas outside the bounds of a stage.
    """
    trace = experiment.trace
    given = experiment.situation
    network = network_of(given)
    situation = replace(given, options=MappingProxyType({**given.options, **options}), simulate=look_ahead(network))
    control = _Control(situation, name, policy)
    result = simulate_controlled(
        network,
        trace.arrival_ns,
        control.decide,
        period_ns=period_ns,
        activation_ns=situation.activation_ns,
        end_ns=trace.duration_ns,
        taken=experiment.routes,
    )
    return Replay(policy=name, experiment=experiment, result=result, changes=tuple(control.changes))


@dataclass(slots=True)
class _Control:
    """A policy between two of its ticks: what it has noted, and what it has changed."""

    situation: Situation
    name: str
    policy: Policy
    changes: list[Change] = field(default_factory=list)
    noted: Any = None

    def decide(self, now_ns: int, seen: Mapping[str, StationView]) -> dict[str, int]:
        """Ask the policy; return what it is granted."""
        stages = {stage: _observation(view) for stage, view in seen.items()}
        decision, self.noted = self.policy(self.situation, Observation(now_ns=now_ns, stages=stages), self.noted)
        requested = {stage: view.requested for stage, view in seen.items()}
        for stage, replicas in decision.replicas.items():
            bounds = self.situation.pipeline.stage(stage)
            if not bounds.min_replicas <= replicas <= bounds.max_replicas:
                raise ValueError(
                    f"policy {self.name!r} asks for {replicas} replicas of stage {stage!r}; "
                    f"its bounds are {bounds.min_replicas} and {bounds.max_replicas}"
                )
        granted = _granted(self.situation, requested, decision.replicas)
        self.changes += [
            Change(at_ns=now_ns, stage=stage, before=before, after=granted[stage], reason=decision.reasons.get(stage))
            for stage, before in requested.items()
            if granted[stage] != before
        ]
        return granted


def _observation(view: StationView) -> StageObservation:
    return StageObservation(
        arrival_ns=view.arrival_ns,
        queued=view.queued,
        in_service=view.in_service,
        requested=view.requested,
        ready=view.ready,
        # Draining replicas are busy, too.
        utilisation=min(1.0, view.busy_ns / view.replica_ns) if view.replica_ns else 0.0,
    )


def _granted(situation: Situation, requested: Mapping[str, int], asked: Mapping[str, int]) -> dict[str, int]:
    """Return what the limits of the hardware leave of what is asked for; what is given up counts first."""
    configuration, pipeline = situation.plan.configuration, situation.pipeline
    granted = {stage: min(before, asked.get(stage, before)) for stage, before in requested.items()}
    for stage, before in requested.items():
        hardware = configuration[stage].hardware
        limit = pipeline.unit(hardware).limit
        more = asked.get(stage, before) - granted[stage]
        if limit is not None:
            used = sum(count for name, count in granted.items() if configuration[name].hardware == hardware)
            more = max(0, min(more, limit - used))
        granted[stage] += more
    return granted
