"""The graph of a pipeline as a query walks it: which stages come next when one is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from inferline.conditions import Condition, ConditionError, parse_condition
from inferline.domain import Pipeline
from serving_adapter.core.pipelines.outputs import Output

__all__ = ["Graph", "Out", "Walk", "WalkError"]


class WalkError(ValueError):
    """A query cannot go on from a stage; says why."""


@dataclass(frozen=True, slots=True)
class Out:
    """An edge out of a stage: the child's place, and what decides whether it is taken."""

    child: int
    condition: Condition | None
    probability: float
    choice: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A pipeline by places: its stages in topological order.

    Parameters
    ----------
    names
        Names of the stages.
    parents
        Places of the parents of each stage; none for an entry.
    out
        Edges out of each stage, in the order of the children.
    entries
        Places of the entries.
    """

    names: tuple[str, ...]
    parents: tuple[tuple[int, ...], ...]
    out: tuple[tuple[Out, ...], ...]
    entries: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "entries", tuple(i for i, parents in enumerate(self.parents) if not parents))

    @classmethod
    def of(cls, pipeline: Pipeline) -> Graph:
        """Return the graph of a pipeline.

        Raises
        ------
        ConditionError
            When a ``when:`` is no condition.
        """
        place = {stage.name: i for i, stage in enumerate(pipeline.stages)}
        return cls(
            names=tuple(place),
            parents=tuple(tuple(place[edge.parent] for edge in stage.parents) for stage in pipeline.stages),
            out=tuple(
                tuple(
                    Out(
                        place[child.name],
                        None if edge.when is None else parse_condition(edge.when),
                        edge.probability,
                        edge.choice,
                    )
                    for child, edge in pipeline.children(name)
                )
                for name in place
            ),
        )

    def taken(self, place: int, output: Output, rng: np.random.Generator) -> list[bool]:
        """Return which edges out of a stage a query takes that has this output there.

        A condition is decided on the output; an edge without one is taken with its probability. Of the edges that
        share a choice, the first one whose condition holds is taken, and else at most one by coin.

        Raises
        ------
        WalkError
            When a condition cannot be decided on the output.
        """
        drawn: dict[str, float] = {}  # by choice: what is left of one number in [0, 1); below 0 once an edge is taken
        taken = []
        for edge in self.out[place]:
            if edge.choice is None:
                taken.append(self._holds(place, edge, output, lambda share: share == 1.0 or rng.random() < share))
                continue
            left = drawn[edge.choice] if edge.choice in drawn else float(rng.random())
            taken.append(left >= 0.0 and self._holds(place, edge, output, _within(left)))
            drawn[edge.choice] = -1.0 if taken[-1] else left - (edge.probability if edge.condition is None else 0.0)
        return taken

    def _holds(self, place: int, edge: Out, output: Output, coin: Callable[[float], bool]) -> bool:
        if edge.condition is None:
            return coin(edge.probability)
        try:
            return edge.condition.holds(output.value)
        except ConditionError as error:
            raise WalkError(f"stage {self.names[place]!r}, edge to {self.names[edge.child]!r}: {error}") from error


def _within(left: float) -> Callable[[float], bool]:
    return lambda share: left < share


class Walk:
    """One query on its way through a graph.

    A stage is entered once all edges into it are decided and at least one of them is taken; when none is, the query
    passes it by, and so takes none of the edges out of it.

    Attributes
    ----------
    ends
        Outputs of the stages that were done without a taken edge, by place: the sinks of this query.
    """

    __slots__ = ("_brought", "_graph", "_open", "_undecided", "ends")

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._undecided = [len(parents) for parents in graph.parents]
        self._brought: list[dict[int, Output] | None] = [None] * len(graph.names)
        self._open = len(graph.entries)
        self.ends: dict[int, Output] = {}

    @property
    def is_over(self) -> bool:
        """Whether all stages that were entered are done."""
        return not self._open

    def brought(self, place: int) -> dict[int, Output]:
        """Return the outputs of the taken parents of a stage, by their places, in stage order."""
        return self._brought[place] or {}

    def leave(self, place: int, output: Output, taken: Sequence[bool]) -> list[int]:
        """Note that a stage is done, and return the stages that can be entered now, in stage order."""
        entered: list[int] = []
        passed: list[int] = []
        self._open -= 1
        if not any(taken):
            self.ends[place] = output
        for edge, is_taken in zip(self._graph.out[place], taken, strict=True):
            if is_taken:
                brought = self._brought[edge.child]
                if brought is None:
                    brought = self._brought[edge.child] = {}
                brought[place] = output
            self._decide(edge.child, entered, passed)
        while passed:
            for edge in self._graph.out[passed.pop()]:
                self._decide(edge.child, entered, passed)
        self._open += len(entered)
        entered.sort()
        return entered

    def _decide(self, place: int, entered: list[int], passed: list[int]) -> None:
        self._undecided[place] -= 1
        if not self._undecided[place]:
            (entered if self._brought[place] else passed).append(place)
