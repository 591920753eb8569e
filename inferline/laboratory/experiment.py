"""What policies are replayed on: a plan, what its stages run, and the traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from inferline.domain import Pipeline, Plan, Profile, Routes, Trace
from tuner.situation import Situation

__all__ = ["Experiment", "experiment_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Experiment:
    """What policies are replayed on.

    Parameters
    ----------
    situation
        Pipeline, plan, batch latencies and activation delays. At the start the replicas of the plan serve.
    trace
        The traffic.
    routes
        Which edges its queries take.
    """

    situation: Situation
    trace: Trace
    routes: Routes


def experiment_of(
    pipeline: Pipeline,
    profiles: Mapping[tuple[str, str], Profile],
    plan: Plan,
    trace: Trace,
    routes: Routes,
    activation_ns: Mapping[str, int],
) -> Experiment:
    """Return the experiment with a plan on a trace.

    Parameters
    ----------
    pipeline, plan, trace, routes
        What serves, what runs at the start, and the traffic.
    profiles
        By (model, hardware): they say how long batches take, by the column that the pipeline is planned with.
    activation_ns
        By stage, from the request for a replica to its first answer.
    """
    table_ns = {
        stage.name: tuple(
            profiles[stage.model, chosen.hardware].batch_latency_ns(chosen.max_batch, pipeline.service_time).tolist()
        )
        for stage in pipeline.stages
        for chosen in (plan.configuration[stage.name],)
    }
    situation = Situation(
        pipeline=pipeline,
        plan=plan,
        batch_latency_ns=MappingProxyType(table_ns),
        activation_ns=MappingProxyType(dict(activation_ns)),
    )
    return Experiment(situation=situation, trace=trace, routes=routes)
