"""Pipelines: from a query to the queues of its stages, one after the other, and to one reply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from serving_adapter.core.models import Models
from serving_adapter.core.pipelines.graph import Graph, Walk, WalkError
from serving_adapter.core.pipelines.outputs import Output, entry_input, joined, stage_input
from serving_adapter.core.world import ModelKey, Observer, Timer, Timers

__all__ = ["PipelineCore", "Reply", "ServedPipeline", "Visit"]

_REASONS = {
    "late": "it waited until the deadline of the query",
    "lost": "it was lost with its replicas too often",
    "full": "its queue is full",
    "there": "its model is not registered",
}


class Visit(NamedTuple):
    """The passage of a query through one stage."""

    stage: str
    waited_ns: int
    service_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one query ends with.

    Parameters
    ----------
    query_id
        Its number in this process.
    outputs
        Outputs of the stages at which it ended, by their names; empty when it did not come to an end.
    explanation
        Why it did not; else empty.
    visits
        Its visits, in the order in which they ended.
    latency_ns
        From its arrival to this reply.
    """

    query_id: int
    outputs: Mapping[str, Output]
    explanation: str = ""
    visits: Sequence[Visit] = ()
    latency_ns: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ServedPipeline:
    """A pipeline as the core serves it.

    Parameters
    ----------
    name
        Its name.
    graph
        Its stages.
    keys, input_types
        The model version that each stage's visits go to, and the type of its inputs, by place.
    deadline_ns
        From the arrival of a query to when it is given up.
    """

    name: str
    graph: Graph
    keys: tuple[ModelKey, ...]
    input_types: tuple[str, ...]
    deadline_ns: int

    def entry_inputs(self, given: Output) -> dict[int, bytes]:
        """Return what each entry is fed for an input.

        Raises
        ------
        ValueError
            When the input is not of an entry's type; names the stage.
        """
        return {place: self._content(place, given, entry_input) for place in self.graph.entries}

    def stage_input(self, place: int, walk: Walk) -> bytes:
        """Return what a stage is fed for a query: its parent's output, at a join an object of all that were taken.

        Raises
        ------
        ValueError
            When that is not of the stage's type; names the stage.
        """
        brought = walk.brought(place)
        if len(self.graph.parents[place]) == 1:
            return self._content(place, next(iter(brought.values())), stage_input)
        by_name = {self.graph.names[parent]: brought[parent] for parent in sorted(brought)}
        return self._content(place, joined(by_name), stage_input)

    def _content(self, place: int, given: Output, content_of: Callable[[Output, str], bytes]) -> bytes:
        try:
            content = content_of(given, self.input_types[place])
        except ValueError as error:
            raise ValueError(f"stage {self.graph.names[place]!r} takes {self.input_types[place]}: {error}") from error
        if not content:
            raise ValueError(f"stage {self.graph.names[place]!r}: an input without a byte cannot travel")
        return content


@dataclass(slots=True, eq=False)
class _Query:
    """One input on its way; what it asks the models about is the place of a stage."""

    core: PipelineCore
    number: int
    pipeline: ServedPipeline
    started_ns: int
    deadline_ns: int
    done: Callable[[Reply], None]
    walk: Walk
    timer: Timer | None = None
    visits: list[Visit] = field(default_factory=list)
    open: bool = True

    def answered(self, about: int, output: bytes, waited_ns: int, service_ns: int) -> None:
        """Go on from a stage."""
        if self.open:
            self.visits.append(Visit(self.pipeline.graph.names[about], waited_ns, service_ns))
            self.core.leave(self, about, Output(bytes(output)))

    def unanswered(self, about: int, reason: str) -> None:
        """Give up."""
        self.core.finish(self, f"stage {self.pipeline.graph.names[about]!r}: {_REASONS.get(reason, reason)}")


class PipelineCore:
    """Queries in, replies out.

    Parameters
    ----------
    models
        The queues of the stages.
    timers, observer
        The world outside.
    rng
        Source of the coins at edges without a condition.

    Attributes
    ----------
    in_flight
        Queries without a reply.
    """

    def __init__(self, models: Models, timers: Timers, observer: Observer, rng: np.random.Generator) -> None:
        self.in_flight = 0
        self._models = models
        self._timers = timers
        self._observer = observer
        self._rng = rng
        self._next_query = 0

    def has_room(self, pipeline: ServedPipeline, count: int) -> bool:
        """Whether so many more queries may wait at the entries."""
        return all(self._models.has_room([pipeline.keys[place]], count) for place in pipeline.graph.entries)

    def predict(self, pipeline: ServedPipeline, inputs: Mapping[int, bytes], done: Callable[[Reply], None]) -> None:
        """Have one query walk a pipeline; ``done`` is called exactly once, maybe before this returns.

        Parameters
        ----------
        pipeline
            The pipeline.
        inputs
            What `ServedPipeline.entry_inputs` returned.
        done
            Takes the reply.
        """
        now_ns = self._timers.now_ns()
        deadline_ns = now_ns + pipeline.deadline_ns
        query = _Query(self, self._next_query, pipeline, now_ns, deadline_ns, done, Walk(pipeline.graph))
        self._next_query += 1
        self.in_flight += 1
        query.timer = self._timers.call_at(deadline_ns, self.finish, query, "the deadline of the query has come")
        for place, content in inputs.items():
            self._enter(query, place, content, now_ns)

    def leave(self, query: _Query, place: int, output: Output) -> None:
        """Go on from a stage that is done."""
        pipeline, walk = query.pipeline, query.walk
        try:
            entered = walk.leave(place, output, pipeline.graph.taken(place, output, self._rng))
            inputs = [(each, pipeline.stage_input(each, walk)) for each in entered]
        except (WalkError, ValueError) as error:
            self.finish(query, str(error))
            return
        if walk.is_over:
            self.finish(query, "")
            return
        now_ns = self._timers.now_ns()
        for each, content in inputs:
            self._enter(query, each, content, now_ns)

    def _enter(self, query: _Query, place: int, content: bytes, now_ns: int) -> None:
        if query.open and not self._models.ask(query.pipeline.keys[place], content, query, place, now_ns):
            query.unanswered(place, "full" if query.pipeline.keys[place] in self._models else "there")

    def finish(self, query: _Query, explanation: str) -> None:
        """Complete a query; with an explanation it did not come to its end."""
        if not query.open:
            return
        query.open = False
        self.in_flight -= 1
        if query.timer is not None:
            query.timer.cancel()
        latency_ns = self._timers.now_ns() - query.started_ns
        pipeline = query.pipeline
        self._observer.predicted(pipeline.name, latency_ns, default=bool(explanation))
        names = pipeline.graph.names
        outputs = {} if explanation else {names[place]: query.walk.ends[place] for place in sorted(query.walk.ends)}
        query.done(
            Reply(
                query_id=query.number,
                outputs=outputs,
                explanation=explanation,
                visits=query.visits,
                latency_ns=latency_ns,
            )
        )
