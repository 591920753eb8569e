"""What a plan can bear: rate, branch probabilities and service times changed one after the other.

Everything is simulated on the sampled trace with the routes' own draws: a query that takes an edge at 0.2 also takes
it at 0.3, so that two cells of the table differ by the change alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from inferline.domain import Configuration, Pipeline, Routes, Stage, Trace, draw_routes
from inferline.domain.slo import nearest_rank
from planner.estimator import THREADS
from planner.problem import Problem
from simulator import Network, simulate

__all__ = ["CHANGES", "Line", "Outcome", "Sensitivity", "conditional_edges", "sensitivity", "with_probabilities"]

CHANGES = (-50, -20, -10, 10, 20, 50)
"""Per cent."""

Edge = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One cell.

    Parameters
    ----------
    change
        In per cent.
    at_slo_ns
        Latency at the SLO's percentile.
    miss_rate
        Share of the queries that are late.
    slo_met
        Whether the SLO still holds.
    note
        What the change could not do, or did besides: a probability cut off at 1, other edges of a choice reduced.
    """

    change: int
    at_slo_ns: int
    miss_rate: float
    slo_met: bool
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that is changed, and what comes of each change."""

    name: str
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """The table.

    Parameters
    ----------
    unchanged
        The plan as it is.
    lines
        One per thing that is changed.
    """

    unchanged: Outcome
    lines: tuple[Line, ...]

    def first_break(self) -> tuple[str, Outcome] | None:
        """Return the smallest change that breaks the SLO; of equal ones, that with the most late queries."""
        broken = [(line.name, each) for line in self.lines for each in line.outcomes if not each.slo_met]
        return min(broken, key=lambda entry: (abs(entry[1].change), -entry[1].miss_rate), default=None)


def sensitivity(
    problem: Problem, configuration: Configuration, tell: Callable[[str], None] | None = None
) -> Sensitivity:
    """Simulate a configuration under every change.

    Parameters
    ----------
    problem, configuration
        What was planned, and what is run.
    tell
        Told of every line.
    """
    pipeline, trace = problem.pipeline, problem.trace
    network = problem.network(configuration)
    simulated = partial(_outcome, problem)
    edges = conditional_edges(pipeline)
    questions: dict[str, Callable[[int], Outcome]] = {
        "rate": lambda change: simulated(change, network, trace.scaled(1 + change / 100), problem.routes),
        "service times": lambda change: simulated(change, _slower(network, change), trace, problem.routes),
    }

    def redrawn(changed: tuple[Edge, ...], change: int) -> Outcome:
        varied, note = with_probabilities(pipeline, changed, 1 + change / 100)
        return simulated(change, network, trace, draw_routes(varied, len(trace)), note)

    for parent, child in edges:
        questions[f"probability {parent} -> {child}"] = partial(redrawn, ((parent, child),))
    if len(edges) > 1:
        questions["all probabilities"] = partial(redrawn, edges)
    lines = []
    with ThreadPoolExecutor(THREADS) as cores:
        for name, ask in questions.items():
            if tell is not None:
                tell(f"sensitivity: {name}")
            lines.append(Line(name=name, outcomes=tuple(cores.map(ask, CHANGES))))
    return Sensitivity(unchanged=simulated(0, network, trace, problem.routes), lines=tuple(lines))


def conditional_edges(pipeline: Pipeline) -> tuple[Edge, ...]:
    """Return the edges, as (parent, child), that some queries take and others do not."""
    return tuple(
        (edge.parent, stage.name) for stage in pipeline.stages for edge in stage.parents if 0 < edge.probability < 1
    )


def with_probabilities(pipeline: Pipeline, changed: tuple[Edge, ...], factor: float) -> tuple[Pipeline, str]:
    """Return the pipeline with some probabilities multiplied, and a note on what that could not do.

    Probabilities end at 1. Where the edges of one choice would sum to more than 1, the edges that were not changed
    give way, in proportion; when all were changed, or the others have nothing left to give, all do.
    """
    wanted = {
        (edge.parent, stage.name): edge.probability * (factor if (edge.parent, stage.name) in changed else 1.0)
        for stage in pipeline.stages
        for edge in stage.parents
    }
    notes = ["cut off at 1"] if any(value > 1 for value in wanted.values()) else []
    wanted = {edge: min(value, 1.0) for edge, value in wanted.items()}
    for members in _choices(pipeline):
        total = sum(wanted[edge] for edge in members)
        if total <= 1:
            continue
        notes.append("choice renormalised")
        others = [edge for edge in members if edge not in changed]
        room = 1.0 - sum(wanted[edge] for edge in members if edge in changed)
        reduced, share = (others, room / (total - 1.0 + room)) if others and room >= 0 else (members, 1.0 / total)
        wanted.update({edge: wanted[edge] * share for edge in reduced})
    stages = tuple(_with(stage, wanted) for stage in pipeline.stages)
    return replace(pipeline, stages=stages), ", ".join(dict.fromkeys(notes))


def _choices(pipeline: Pipeline) -> Iterator[list[Edge]]:
    found: dict[tuple[str, str], list[Edge]] = {}
    for stage in pipeline.stages:
        for edge in stage.parents:
            if edge.choice is not None:
                found.setdefault((edge.parent, edge.choice), []).append((edge.parent, stage.name))
    yield from found.values()


def _with(stage: Stage, probabilities: Mapping[Edge, float]) -> Stage:
    parents = tuple(replace(edge, probability=probabilities[edge.parent, stage.name]) for edge in stage.parents)
    return replace(stage, parents=parents)


def _slower(network: Network, change: int) -> Network:
    """Return the network with all service times changed by so many per cent, rounded up to whole nanoseconds."""
    return Network(
        tuple(
            replace(
                station, batch_latency_ns=tuple(-(-each * (100 + change) // 100) for each in station.batch_latency_ns)
            )
            for station in network.stations
        )
    )


def _outcome(
    problem: Problem, change: int, network: Network, trace: Trace, routes: Routes, note: str = ""
) -> Outcome:
    slo = problem.pipeline.slo
    latency_ns = simulate(network, trace.arrival_ns, routes, record_visits=False).latency_ns
    rank = nearest_rank(slo.percentile, latency_ns.size)
    at_slo_ns = int(np.partition(latency_ns, rank - 1)[rank - 1])
    late = int(np.count_nonzero(latency_ns > slo.latency_ns))
    return Outcome(
        change=change,
        at_slo_ns=at_slo_ns,
        miss_rate=late / latency_ns.size,
        slo_met=at_slo_ns <= slo.latency_ns,
        note=note,
    )
