"""The pipeline: a directed acyclic graph of stages, the hardware they may use, and the SLO."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from inferline.domain.hardware import Hardware
from inferline.domain.slo import Slo

__all__ = ["DEFAULT_MAX_REPLICAS", "MODEL_KINDS", "Edge", "Pipeline", "Stage", "find_cycle"]

DEFAULT_MAX_REPLICAS = 100

MODEL_KINDS = ("callable", "pytorch", "onnx", "sklearn", "directory", "container", "http")
"""The ways to run a model; each model gives exactly one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """The way from a parent stage into a stage.

    Parameters
    ----------
    parent
        Name of the parent stage.
    probability
        Probability that a query which visited the parent takes this edge, in [0, 1].
    choice
        Edges of one parent with the same label exclude each other; None for an independent edge.
    when
        Condition over the parent's output at run time, instead of a coin; None for none.
    """

    parent: str
    probability: float = 1.0
    choice: str | None = None
    when: str | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"edge from {self.parent!r}: probability {self.probability} is outside [0, 1]")

    @property
    def always_taken(self) -> bool:
        """Whether every query that visits the parent takes this edge."""
        return self.probability == 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One model in the pipeline.

    Parameters
    ----------
    name, model
        Name of the stage, and of the model whose profile it uses.
    parents
        Edges into this stage; none for an entry. Several form a join: the stage starts when every *taken*
        parent is done, once.
    hardware
        Names of the hardware that the stage may use, in the order of the pipeline file.
    max_batch
        Cap on the maximum batch size; None for none.
    min_replicas, max_replicas
        Bounds on the replicas, both inclusive.
    """

    name: str
    model: str
    parents: tuple[Edge, ...] = ()
    hardware: tuple[str, ...]
    max_batch: int | None = None
    min_replicas: int = 1
    max_replicas: int = DEFAULT_MAX_REPLICAS

    def __post_init__(self) -> None:
        if not 1 <= self.min_replicas <= self.max_replicas:
            raise ValueError(f"stage {self.name!r}: replicas {self.min_replicas}..{self.max_replicas} is no range")
        if self.max_batch is not None and self.max_batch < 1:
            raise ValueError(f"stage {self.name!r}: max_batch {self.max_batch} is below 1")

    @property
    def is_entry(self) -> bool:
        """Whether queries enter the pipeline here."""
        return not self.parents


def find_cycle(parents: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Return the stages of one cycle, the first one repeated at the end, or nothing when there is none.

    Parameters
    ----------
    parents
        Parents of each stage.
    """
    try:
        TopologicalSorter({stage: tuple(of) for stage, of in parents.items()}).prepare()
    except CycleError as error:
        return tuple(error.args[1])
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """Stages, hardware and SLO: everything that a plan is made for, except profiles and traffic.

    Parameters
    ----------
    name
        Name of the pipeline.
    slo
        End-to-end latency objective.
    stages
        All stages, in any order; kept in topological order (ties in the given order).
    hardware
        All hardware, cheapest or not, in the order of the file.
    seed
        Seed of the routes of conditional branches.
    service_time
        Profile column that is planned with, one of `SERVICE_TIMES`: ``mean``, ``p95``, ``hop_mean`` ...

    Raises
    ------
    ValueError
        When a name is used twice, an edge or a stage names something unknown, a stage names a parent twice, or there
        is a cycle.
    """

    name: str
    slo: Slo
    stages: tuple[Stage, ...]
    hardware: tuple[Hardware, ...]
    seed: int = 0
    service_time: str = "mean"
    _stage: Mapping[str, Stage] = field(init=False, repr=False, compare=False)
    _hardware: Mapping[str, Hardware] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        stage = {each.name: each for each in self.stages}
        hardware = {each.name: each for each in self.hardware}
        if not stage or len(stage) != len(self.stages) or len(hardware) != len(self.hardware):
            raise ValueError("a pipeline needs at least one stage, and names used once")
        parents = {each.name: [edge.parent for edge in each.parents] for each in self.stages}
        for each in self.stages:
            missing = [name for name in parents[each.name] if name not in stage]
            missing += [name for name in each.hardware if name not in hardware]
            if missing:
                raise ValueError(f"stage {each.name!r}: {missing[0]!r} is not declared")
            if len(set(parents[each.name])) != len(each.parents):
                raise ValueError(f"stage {each.name!r}: a parent is named twice")
        if cycle := find_cycle(parents):
            raise ValueError("stages form a cycle: " + " -> ".join(cycle))
        order = tuple(_topological(parents))
        object.__setattr__(self, "stages", tuple(stage[name] for name in order))
        object.__setattr__(self, "_stage", {name: stage[name] for name in order})
        object.__setattr__(self, "_hardware", hardware)

    def stage(self, name: str) -> Stage:
        """Return the stage of that name."""
        return self._stage[name]

    def unit(self, hardware: str) -> Hardware:
        """Return the hardware of that name."""
        return self._hardware[hardware]

    def children(self, parent: str) -> tuple[tuple[Stage, Edge], ...]:
        """Return the stages that have an edge from ``parent``, each with that edge, in stage order."""
        return tuple((stage, edge) for stage in self.stages for edge in stage.parents if edge.parent == parent)


def _topological(parents: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield the stages so that parents come first; among the ready ones, in the given order."""
    waiting = dict(parents)
    done: set[str] = set()
    while waiting:
        ready = next(name for name, of in waiting.items() if done.issuperset(of))
        del waiting[ready]
        done.add(ready)
        yield ready
