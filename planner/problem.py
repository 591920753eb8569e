"""The planning problem: the declared space of every stage, the traffic, and what no configuration can beat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Configuration, Pipeline, Profile, Routes, Stage, StageConfiguration, Trace, draw_routes
from simulator import Network, Station

__all__ = ["Option", "Problem", "pose", "remaining_ns", "replicas_that_fit"]

Instants = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Option:
    """One hardware that a stage may use.

    Parameters
    ----------
    hardware
        Its name.
    price_nano_usd_per_hour
        Price of one replica.
    batch_sizes
        Profiled batch sizes up to the stage's cap, ascending.
    latency_ns
        int64 (largest batch size,): L(1) ... L(B).
    """

    hardware: str
    price_nano_usd_per_hour: int
    batch_sizes: tuple[int, ...]
    latency_ns: Instants

    @property
    def least_latency_ns(self) -> int:
        """The shortest time in which this hardware serves any batch."""
        return int(self.latency_ns.min())

    def replica_time_ns(self, max_batch: int) -> float:
        """Return the least replica time per query, min over b <= max_batch of L(b) / b."""
        return float((self.latency_ns[:max_batch] / np.arange(1, max_batch + 1)).min())

    def throughput_qps(self, max_batch: int) -> float:
        """Return the queries per second of one replica that always has full batches."""
        return max_batch / (int(self.latency_ns[max_batch - 1]) / 1e9)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """Everything that a planner looks at; made by `pose`.

    Parameters
    ----------
    pipeline, trace, routes
        What is planned, for which arrivals, with which taken edges.
    options
        Per stage (in topological order), the hardware it may use, by name.
    visitors
        Ids of the queries that visit each stage, int32, ascending.
    visits
        How many they are.
    deadline_ns
        Per stage, int64 (queries,): a query that leaves the stage later than this misses the SLO, whatever the
        configuration of the stages after it.
    unloaded_ns
        int64 (queries,): latency of each query if it never waited and every stage ran its fastest option.
    late_allowed
        How many queries may be late.
    """

    pipeline: Pipeline
    trace: Trace
    routes: Routes
    options: Mapping[str, Mapping[str, Option]]
    visitors: Mapping[str, NDArray[np.int32]]
    visits: Mapping[str, int]
    deadline_ns: Mapping[str, Instants]
    unloaded_ns: Instants
    late_allowed: int

    def option(self, stage: str, configuration: StageConfiguration) -> Option:
        """Return the option that a stage's configuration uses."""
        return self.options[stage][configuration.hardware]

    def latency_ns(self, stage: str, configuration: StageConfiguration) -> Instants:
        """Return L(1) ... L(B) of a stage's configuration."""
        return self.option(stage, configuration).latency_ns[: configuration.max_batch]

    def network(self, configuration: Configuration) -> Network:
        """Return the network that the simulator runs for a configuration."""
        return Network(
            tuple(
                Station(
                    stage.name,
                    self.latency_ns(stage.name, configuration[stage.name]).tolist(),
                    configuration[stage.name].replicas,
                    tuple(edge.parent for edge in stage.parents),
                )
                for stage in self.pipeline.stages
            )
        )


def replicas_that_fit(problem: Problem, configuration: Configuration, stage: str, hardware: str) -> int:
    """Return the most replicas of ``stage`` on ``hardware`` when all other stages stay as they are.

    Both the stage's own bound and the hardware's limit count; the result may be 0.
    """
    most = problem.pipeline.stage(stage).max_replicas
    limit = problem.pipeline.unit(hardware).limit
    if limit is None:
        return most
    others = configuration.units()[hardware]
    if configuration[stage].hardware == hardware:
        others -= configuration[stage].replicas
    return max(0, min(most, limit - others))


def pose(
    pipeline: Pipeline,
    profiles: Mapping[tuple[str, str], Profile],
    trace: Trace,
    routes: Routes | None = None,
) -> Problem:
    """Pose the planning problem of a pipeline.

    Parameters
    ----------
    pipeline
        What is planned.
    profiles
        By (model, hardware).
    trace
        Arrivals to plan for.
    routes
        Taken edges; drawn from the pipeline's seed when None.

    Raises
    ------
    ValueError
        When a stage has no option at all: no allowed hardware with a profile that reaches down to its batch cap.
    """
    taken = draw_routes(pipeline, len(trace)) if routes is None else routes
    options = {stage.name: _options(pipeline, stage, profiles) for stage in pipeline.stages}
    for name, found in options.items():
        if not found:
            raise ValueError(f"stage {name!r}: no allowed hardware has a profile of its model")
    least = {name: min(option.least_latency_ns for option in found.values()) for name, found in options.items()}
    remaining = remaining_ns(pipeline, taken, least)
    in_time = trace.arrival_ns + pipeline.slo.latency_ns
    deadlines = {}
    for name, left in remaining.items():
        deadlines[name] = in_time - left
        deadlines[name].flags.writeable = False
    unloaded = np.zeros(len(trace), dtype=np.int64)
    for stage in pipeline.stages:
        if stage.is_entry:
            np.maximum(unloaded, least[stage.name] + remaining[stage.name], out=unloaded)
    visitors = _visitors(pipeline, taken, len(trace))
    return Problem(
        pipeline=pipeline,
        trace=trace,
        routes=taken,
        options=MappingProxyType(options),
        visitors=MappingProxyType(visitors),
        visits=MappingProxyType({name: ids.size for name, ids in visitors.items()}),
        deadline_ns=MappingProxyType(deadlines),
        unloaded_ns=unloaded,
        late_allowed=pipeline.slo.allowance(len(trace)),
    )


def _options(pipeline: Pipeline, stage: Stage, profiles: Mapping[tuple[str, str], Profile]) -> Mapping[str, Option]:
    return MappingProxyType({option.hardware: option for option in _profiled(pipeline, stage, profiles)})


def _profiled(pipeline: Pipeline, stage: Stage, profiles: Mapping[tuple[str, str], Profile]) -> Iterator[Option]:
    for hardware in stage.hardware:
        profile = profiles.get((stage.model, hardware))
        if profile is None:
            continue
        cap = stage.max_batch or int(profile.batch_size[-1])
        sizes = tuple(int(size) for size in profile.batch_size if size <= cap)
        if sizes:
            yield Option(
                hardware=hardware,
                price_nano_usd_per_hour=pipeline.unit(hardware).price_nano_usd_per_hour,
                batch_sizes=sizes,
                latency_ns=profile.batch_latency_ns(sizes[-1], pipeline.service_time),
            )


def remaining_ns(pipeline: Pipeline, taken: Routes, least: Mapping[str, int]) -> Mapping[str, int | Instants]:
    """Return, per stage, the least time that each query still needs after it leaves the stage.

    Parameters
    ----------
    pipeline, taken
        Stages and routes.
    least
        Least service time of each stage, in nanoseconds.

    Returns
    -------
    Mapping
        A number where it is the same for every query, int64 (queries,) elsewhere; only the queries that visit the
        stage count.
    """
    remaining: dict[str, int | Instants] = {}
    for stage in reversed(pipeline.stages):
        longest: int | Instants = 0
        for child, _ in pipeline.children(stage.name):
            onwards = least[child.name] + remaining[child.name]
            mask = taken.get((stage.name, child.name))
            longest = np.maximum(longest, onwards if mask is None else onwards * mask)
        remaining[stage.name] = longest
    return remaining


def _visitors(pipeline: Pipeline, taken: Routes, queries: int) -> Mapping[str, NDArray[np.int32]]:
    everyone = np.ones(queries, dtype=np.bool_)
    visited: dict[str, NDArray[np.bool_]] = {}
    for stage in pipeline.stages:
        here = everyone if stage.is_entry else np.zeros(queries, dtype=np.bool_)
        for edge in stage.parents:
            mask = taken.get((edge.parent, stage.name))
            here = here | (visited[edge.parent] if mask is None else visited[edge.parent] & mask)
        visited[stage.name] = here
    return {name: np.flatnonzero(here).astype(np.int32) for name, here in visited.items()}
