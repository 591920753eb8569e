"""Worlds: what the traffic, the routes and the service times might have been, instead of what was sampled.

A world is the trace resampled in blocks, with routes drawn again and service times drawn per batch. It depends on
the problem, the seed and its number only; `docs/background/uncertainty.md` says what is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from inferline.domain import Configuration, Profile, StageConfiguration, Trace, draw_routes
from inferline.domain.randomness import keyed_generator
from inferline.units import NANO
from planner.problem import Problem, pose
from planner.uncertainty.spread import quantile_rows, spread_sources
from simulator import Network, SampledTimes, Station, simulate

__all__ = ["Profiles", "Times", "World", "Worlds", "block_length_ns", "resampled"]

Instants = NDArray[np.int64]
Ids = NDArray[np.int32]
Profiles = Mapping[tuple[str, str], Profile]
"""By (model, hardware)."""

SHORTEST_BLOCK_NS = 5 * NANO
BLOCKS = 50
FEWEST_BLOCKS = 10


def block_length_ns(duration_ns: int) -> int:
    """Return the length of the blocks that a trace is resampled in.

    A fiftieth of the trace, at least 5 s, so that bursts stay whole; but never more than a tenth of the trace, so
    that worlds differ at all.

    Examples
    --------
    >>> [block_length_ns(seconds * 10**9) / 1e9 for seconds in (3600, 100, 20)]
    [72.0, 5.0, 2.0]
    """
    return max(1, min(max(SHORTEST_BLOCK_NS, duration_ns // BLOCKS), duration_ns // FEWEST_BLOCKS))


def resampled(trace: Trace, generator: np.random.Generator) -> Trace:
    """Return a circular block bootstrap of a trace: blocks that start anywhere, put together to the same duration.

    Every instant of the trace is as likely to be covered as any other; a block that reaches the end goes on at the
    beginning. The number of queries is what the blocks hold. A draw without any query is drawn again.
    """
    duration_ns = trace.duration_ns
    if duration_ns == 0:
        return trace
    length_ns = block_length_ns(duration_ns)
    begins = np.arange(0, duration_ns, length_ns)
    lengths = np.minimum(length_ns, duration_ns - begins)
    twice = np.concatenate((trace.arrival_ns, trace.arrival_ns + duration_ns))
    while True:
        starts = generator.integers(0, duration_ns, begins.size)
        first, end = np.searchsorted(twice, starts), np.searchsorted(twice, starts + lengths)
        blocks = [
            twice[a:b] + shift for a, b, shift in zip(first, end, (begins - starts).tolist(), strict=True) if a < b
        ]
        if blocks:
            return Trace(np.concatenate(blocks), duration_ns)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Times:
    """Service times of every stage on every hardware, int64 (K, B) each; the first row is the fastest.

    Parameters
    ----------
    rows_ns
        By (stage, hardware).
    constant
        Per stage, the hardware and batch sizes whose service time never varies, for lack of measurements.
    """

    rows_ns: Mapping[tuple[str, str], Instants]
    constant: Mapping[str, Mapping[str, tuple[int, ...]]]

    def of(self, stage: str, chosen: StageConfiguration) -> Instants:
        """Return the rows up to the maximum batch size, C-contiguous."""
        return np.ascontiguousarray(self.rows_ns[stage, chosen.hardware][:, : chosen.max_batch])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """One world.

    Parameters
    ----------
    number
        Its number; worlds with other numbers are independent of it.
    problem
        Trace and routes of this world, with options that always run at their fastest row: so what the problem says
        of deadlines, and every bound made from it, holds for the sampled times.
    row
        Per stage, int32 (visits,): the row from which the k-th batch takes its time.
    times
        What the rows are.
    """

    number: int
    problem: Problem
    row: Mapping[str, Ids]
    times: Times

    def rows(self, stage: str, chosen: StageConfiguration) -> tuple[Instants, Ids | None]:
        """Return the service times of a stage, and the row of every batch; None when there is but one row."""
        rows_ns = self.times.of(stage, chosen)
        return rows_ns, self.row[stage] if len(rows_ns) > 1 else None

    def network(self, configuration: Configuration) -> Network:
        """Return the network that the simulator runs for a configuration."""
        return Network(tuple(self._station(stage.name, configuration) for stage in self.problem.pipeline.stages))

    def latency_ns(self, configuration: Configuration) -> Instants:
        """Return the end-to-end latency of every query; int64 (queries,)."""
        arrival_ns = self.problem.trace.arrival_ns
        return simulate(self.network(configuration), arrival_ns, self.problem.routes, record_visits=False).latency_ns

    @property
    def nbytes(self) -> int:
        """About the memory that the world takes."""
        arrays = [
            self.problem.trace.arrival_ns,
            self.problem.unloaded_ns,
            *self.problem.routes.values(),
            *self.problem.visitors.values(),
            *self.problem.deadline_ns.values(),
            *self.row.values(),
        ]
        return sum(array.nbytes for array in arrays)

    def _station(self, name: str, configuration: Configuration) -> Station:
        chosen = configuration[name]
        rows_ns, row = self.rows(name, chosen)
        queries = len(self.problem.trace)
        drawn = None
        if row is not None:
            drawn = SampledTimes(rows_ns=rows_ns, row=np.concatenate((row, np.zeros(queries - row.size, np.int32))))
        parents = tuple(edge.parent for edge in self.problem.pipeline.stage(name).parents)
        return Station(name, rows_ns[0].tolist(), chosen.replicas, parents, drawn)


class Worlds:
    """All worlds of one problem, by number; each is drawn when it is asked for.

    Parameters
    ----------
    problem
        What is resampled.
    profiles
        By (model, hardware): their spread.
    seed
        The pipeline's own when None.
    """

    def __init__(self, problem: Problem, profiles: Profiles, seed: int | None = None) -> None:
        self.problem = problem
        self._seed = problem.pipeline.seed if seed is None else seed
        self.times = _times(problem, profiles)
        # Service times are sampled about the mean of the model alone, whichever column (a percentile, a hop) the plan
        # without confidence is made with; that plan must meet the SLO with its own column besides.
        self._pipeline = replace(problem.pipeline, service_time="mean")
        self._fastest = _fastest(problem, self.times)

    def world(self, number: int) -> World:
        """Draw the world of that number."""
        generator = keyed_generator(self._seed, "world", str(number))
        trace = resampled(self.problem.trace, generator)
        routes = draw_routes(self._pipeline, len(trace), seed=int(generator.integers(2**62)))
        problem = pose(self._pipeline, self._fastest, trace, routes)
        rows = {
            name: np.zeros(0, dtype=np.int32) if most == 1 else generator.integers(0, most, visits, dtype=np.int32)
            for name, visits, most in ((each, problem.visits[each], self._most_rows(each)) for each in problem.visits)
        }
        return World(number=number, problem=problem, row=MappingProxyType(rows), times=self.times)

    def _most_rows(self, stage: str) -> int:
        return max(len(self.times.rows_ns[stage, hardware]) for hardware in self.problem.options[stage])


def _times(problem: Problem, profiles: Profiles) -> Times:
    rows_ns: dict[tuple[str, str], Instants] = {}
    constant: dict[str, Mapping[str, tuple[int, ...]]] = {}
    for stage in problem.pipeline.stages:
        without: dict[str, tuple[int, ...]] = {}
        for hardware, option in problem.options[stage.name].items():
            profile = profiles[stage.model, hardware]
            rows_ns[stage.name, hardware] = quantile_rows(profile, option.batch_sizes[-1])
            sources = dict(zip(profile.batch_size.tolist(), spread_sources(profile), strict=True))
            without[hardware] = tuple(size for size in option.batch_sizes if sources[size] == "none")
        constant[stage.name] = MappingProxyType(without)
    return Times(rows_ns=MappingProxyType(rows_ns), constant=MappingProxyType(constant))


def _fastest(problem: Problem, times: Times) -> Profiles:
    """Return profiles of the fastest row; of a model in several stages, up to the largest batch of any."""
    widest: dict[tuple[str, str], Instants] = {}
    for stage in problem.pipeline.stages:
        for hardware in problem.options[stage.name]:
            row_ns, known = times.rows_ns[stage.name, hardware][0], widest.get((stage.model, hardware))
            if known is None or known.size < row_ns.size:
                widest[stage.model, hardware] = row_ns
    return {
        (model, hardware): Profile(
            model=model,
            hardware=hardware,
            batch_size=np.arange(1, row_ns.size + 1),
            latency_mean_s=row_ns / NANO,
        )
        for (model, hardware), row_ns in widest.items()
    }
