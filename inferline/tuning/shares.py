"""Branch probabilities from visits that were observed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from inferline.domain import Pipeline

__all__ = ["Shares", "observed_shares", "with_shares"]

Shares = Mapping[tuple[str, str], float]
"""By edge (parent, child), the probability that a query which visited the parent takes it."""


def observed_shares(pipeline: Pipeline, visits: Mapping[str, int]) -> Shares:
    """Return the probabilities of the edges that visits tell of.

    Visits at a stage over visits at its only parent. Of a stage with several parents nobody can tell from visits
    which edge was taken, and an edge that is always taken stays so: theirs are not among them. Edges that exclude
    each other are scaled down when chance has them sum up to more than is left.

    Parameters
    ----------
    pipeline
        The declared edges.
    visits
        By stage.
    """
    found: dict[tuple[str, str], float] = {}
    for stage in pipeline.stages:
        if len(stage.parents) != 1:
            continue
        edge = stage.parents[0]
        if visits.get(edge.parent, 0) and not (edge.always_taken and edge.when is None):
            found[edge.parent, stage.name] = min(1.0, visits.get(stage.name, 0) / visits[edge.parent])
    for parent in pipeline.stages:
        choices: dict[str, list[tuple[str, float]]] = {}
        for child, edge in pipeline.children(parent.name):
            if edge.choice is not None:
                choices.setdefault(edge.choice, []).append((child.name, edge.probability))
        for edges in choices.values():
            seen = [child for child, _ in edges if (parent.name, child) in found]
            left = max(0.0, 1.0 - sum(probability for child, probability in edges if child not in seen))
            together = sum(found[parent.name, child] for child in seen)
            if together > left:
                found.update({(parent.name, child): found[parent.name, child] * left / together for child in seen})
    return found


def with_shares(pipeline: Pipeline, shares: Shares) -> Pipeline:
    """Return a pipeline with other probabilities."""
    return replace(
        pipeline,
        stages=tuple(
            replace(
                stage,
                parents=tuple(
                    replace(edge, probability=shares.get((edge.parent, stage.name), edge.probability))
                    for edge in stage.parents
                ),
            )
            for stage in pipeline.stages
        ),
    )
