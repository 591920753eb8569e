"""Sample inputs through the pipeline: what the stages behind others are fed, and how often conditions hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inferline.conditions import Condition, ConditionError, parse_condition
from inferline.domain import Edge, Pipeline, Stage
from inferline.errors import Fault, InputError
from inferline.files.wording import shown
from profiler.inputs import Inputs, drawn, frames_of
from serving_adapter.models import ModelEntry
from serving_adapter.rpc.values import output_value

__all__ = ["Answer", "EdgeEstimate", "Route", "Walked", "conditions_of", "route", "walk", "wilson"]

_Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the standard normal distribution."""

Answer = Callable[[Stage, Sequence[bytes]], Sequence[bytes]]
"""Runs a stage's model on input frames and returns one output frame for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Which stages are walked.

    Parameters
    ----------
    fed
        Names of the stages that are fed from outside, in topological order: entries, and those with a sample.
    run
        Names of the stages whose models are run for their outputs, in topological order.
    """

    fed: tuple[str, ...]
    run: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeEstimate:
    """How often a condition held on the samples.

    Parameters
    ----------
    parent, child, when
        The edge and its condition.
    visits, taken
        Samples that visited the parent, and those of them that went on to the child.
    made_up
        Whether the inputs were synthesised, so that this says little about real ones.
    """

    parent: str
    child: str
    when: str
    visits: int
    taken: int
    made_up: bool = False

    @property
    def share(self) -> float:
        """Taken over visits; NaN without visits."""
        return self.taken / self.visits if self.visits else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the probability (Wilson)."""
        return wilson(self.taken, self.visits)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Walked:
    """What came of a walk.

    Parameters
    ----------
    inputs
        Inputs that reached each stage, as JSON values (or bytes); of a stage fed from outside all that there are.
    edges
        An estimate for each condition whose parent was run.
    """

    inputs: Mapping[str, Sequence[Any]]
    edges: tuple[EdgeEstimate, ...]


def wilson(taken: int, visits: int) -> tuple[float, float]:
    """Return the 95 % score interval of a probability (Wilson 1927); (0, 1) without visits.

    Examples
    --------
    >>> [round(bound, 3) for bound in wilson(20, 64)]
    [0.212, 0.434]
    >>> wilson(0, 0)
    (0.0, 1.0)
    """
    if visits == 0:
        return 0.0, 1.0
    share, z2 = taken / visits, _Z_95**2
    middle = (share + z2 / (2 * visits)) / (1 + z2 / visits)
    half = _Z_95 * math.sqrt(share * (1 - share) / visits + z2 / (4 * visits**2)) / (1 + z2 / visits)
    # At the ends the bound is the share itself; rounding must not put it outside of the interval.
    low = 0.0 if taken == 0 else middle - half
    return low, 1.0 if taken == visits else middle + half


def conditions_of(pipeline: Pipeline) -> dict[tuple[str, str], Condition]:
    """Return the conditions of a pipeline, which were checked when it was read, by (parent, child)."""
    return {
        (edge.parent, child.name): parse_condition(edge.when)
        for child in pipeline.stages
        for edge in child.parents
        if edge.when is not None
    }


def route(pipeline: Pipeline, chosen: Collection[str], with_sample: Collection[str]) -> Route:
    """Return what has to be walked so that every chosen stage has inputs and every condition on them is tried.

    Only stages upstream of the chosen ones are walked, and only where their outputs are needed; nothing at all when
    each chosen stage has inputs of its own and no condition hangs on it.

    Parameters
    ----------
    pipeline
        The graph.
    chosen
        Names of the stages to be measured.
    with_sample
        Names of the stages whose model has a sample file.
    """
    run = {name for name in chosen if any(edge.when is not None for _, edge in pipeline.children(name))}
    fed: set[str] = set()
    seen: set[str] = set()
    unseen = list(chosen)
    while unseen:
        name = unseen.pop()
        if name in seen:
            continue
        seen.add(name)
        stage = pipeline.stage(name)
        if stage.is_entry or name in with_sample:
            fed.add(name)
            continue
        parents = [edge.parent for edge in stage.parents if _may_be_taken(edge)]
        run.update(parents)
        unseen += parents
    order = [stage.name for stage in pipeline.stages]
    return Route(fed=tuple(name for name in order if name in fed), run=tuple(name for name in order if name in run))


def _may_be_taken(edge: Edge) -> bool:
    return edge.when is not None or edge.probability > 0


def walk(
    file: str,
    pipeline: Pipeline,
    entries: Mapping[str, ModelEntry],
    way: Route,
    sources: Mapping[str, Inputs],
    conditions: Mapping[tuple[str, str], Condition],
    answer: Answer,
    *,
    samples: int,
    seed: int,
) -> Walked:
    """Run sample inputs through the stages of a route.

    A sample is one query: at a join it brings the outputs of all parents that it took. An edge without a condition is
    taken always, whatever its probability: its coin says nothing about the input. Of the conditions that share a
    choice, the first one in the order of the stages that holds is taken. A stage that is fed from outside is fed the
    same number of samples, its own ones over and over when it has fewer; estimates count each of them once.

    Parameters
    ----------
    file
        The pipeline file, to name in faults.
    pipeline, entries
        The graph, and how each model is run.
    way
        What to run.
    sources
        Inputs of the stages that are fed from outside.
    conditions
        Of the edges that have one, by (parent, child).
    answer
        Runs a stage.
    samples
        Most queries to walk.
    seed
        Of the choice among more inputs than that.

    Raises
    ------
    InputError
        When an output is not what a later stage takes, or a condition cannot be decided on it.
    """
    own = {name: drawn(sources[name].values, samples, seed) for name in way.fed}
    queries = max((len(values) for values in own.values()), default=0)
    arrived: dict[str, dict[int, Any]] = {}
    went: dict[tuple[str, str], dict[int, Any]] = {}
    distinct: dict[str, int] = {}
    made_up: set[str] = set()
    edges: list[EdgeEstimate] = []
    for stage in pipeline.stages:
        name = stage.name
        parents = [edge.parent for edge in stage.parents if (edge.parent, name) in went]
        if name in own:
            arrived[name] = {query: own[name][query % len(own[name])] for query in range(queries)}
            distinct[name] = len(own[name])
            made_up.update([name] if sources[name].made_up else [])
        elif parents:
            arrived[name] = _joined(stage, parents, went)
            distinct[name] = max(distinct[parent] for parent in parents)
            made_up.update([name] if made_up.intersection(parents) else [])
        if name not in way.run or name not in arrived:
            continue
        outputs = _outputs(entries[stage.model], stage, arrived[name], answer)
        for child, edge, taken in _taken(file, pipeline, name, outputs, conditions):
            went[name, child.name] = taken
            if edge.when is not None:
                edges.append(
                    EdgeEstimate(
                        parent=name,
                        child=child.name,
                        when=edge.when,
                        visits=sum(query < distinct[name] for query in outputs),
                        taken=sum(query < distinct[name] for query in taken),
                        made_up=name in made_up,
                    )
                )
    reached = {name: list(values.values()) for name, values in arrived.items() if name not in own}
    return Walked(inputs={**reached, **{name: sources[name].values for name in own}}, edges=tuple(edges))


def _joined(
    stage: Stage, parents: Sequence[str], went: Mapping[tuple[str, str], Mapping[int, Any]]
) -> dict[int, Any]:
    """Return the input of every query that comes here: its parent's output, or at a join those of the taken ones."""
    brought: dict[int, dict[str, Any]] = {}
    for parent in parents:
        for query, output in went[parent, stage.name].items():
            brought.setdefault(query, {})[parent] = output
    if len(stage.parents) > 1:
        return {query: brought[query] for query in sorted(brought)}
    return {query: next(iter(outputs.values())) for query, outputs in sorted(brought.items())}


def _outputs(entry: ModelEntry, stage: Stage, arrived: Mapping[int, Any], answer: Answer) -> dict[int, Any]:
    if not arrived:
        return {}
    frames = frames_of(entry, list(arrived.values()), f"stage {shown(stage.name)} is handed something else")
    return dict(zip(arrived, map(output_value, answer(stage, frames)), strict=True))


def _taken(
    file: str,
    pipeline: Pipeline,
    parent: str,
    outputs: Mapping[int, Any],
    conditions: Mapping[tuple[str, str], Condition],
) -> list[tuple[Stage, Edge, dict[int, Any]]]:
    """Return the edges out of a stage with the queries that take them, each with the output that it brings."""
    decided = []
    gone: dict[str, set[int]] = {}
    for child, edge in pipeline.children(parent):
        condition = conditions.get((parent, child.name))
        if condition is None:
            taken = dict(outputs) if _may_be_taken(edge) else {}
        else:
            before = gone.setdefault(edge.choice, set()) if edge.choice is not None else set()
            where = _key_path(child, edge)
            taken = {
                query: output
                for query, output in outputs.items()
                if query not in before and _holds(condition, output, file, where)
            }
            before.update(taken)
        decided.append((child, edge, taken))
    return decided


def _holds(condition: Condition, output: Any, file: str, where: str) -> bool:  # noqa: ANN401 - a JSON value
    try:
        return condition.holds(output)
    except ConditionError as error:
        message = f"cannot be decided on an output of the samples, {shown(output)}: {error}"
        raise InputError(Fault(file, where, message)) from error


def _key_path(child: Stage, edge: Edge) -> str:
    return f"stages.{child.name}.after[{child.parents.index(edge)}].when"
