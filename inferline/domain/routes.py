"""Routes: which edges each query takes, drawn once, before any simulation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from inferline.domain.pipeline import Pipeline

__all__ = ["Routes", "draw_routes"]

Routes = Mapping[tuple[str, str], NDArray[np.bool_]]
"""``taken[parent, child]``: bool (queries,); an edge without an entry is always taken."""


def draw_routes(pipeline: Pipeline, queries: int, seed: int | None = None) -> Routes:
    """Draw the taken edges of every query from a counter-based generator keyed (seed, query, edge).

    The draw of a query on an edge depends on nothing else, so every candidate configuration, every prefix of the
    trace and every pipeline with the same edge sees the same route.

    Parameters
    ----------
    pipeline
        Gives the edges, their probabilities and exclusive choices.
    queries
        Number of queries; query ``i`` uses the ``i``-th counter.
    seed
        Instead of the pipeline's own seed.

    Returns
    -------
    Routes
        Read-only masks for the edges that are not always taken. Edges that share a choice split one draw, so at
        most one of them is taken.
    """
    key = pipeline.seed if seed is None else seed
    taken: dict[tuple[str, str], NDArray[np.bool_]] = {}
    for parent in pipeline.stages:
        below: dict[str, float] = {}
        draws: dict[str, NDArray[np.float64]] = {}
        for child, edge in pipeline.children(parent.name):
            if edge.choice is None:
                if edge.always_taken:
                    continue
                mask = _draws(key, parent.name, "edge", child.name, queries) < edge.probability
            else:
                if edge.choice not in draws:
                    draws[edge.choice] = _draws(key, parent.name, "choice", edge.choice, queries)
                    below[edge.choice] = 0.0
                low = below[edge.choice]
                high = below[edge.choice] = low + edge.probability
                mask = (draws[edge.choice] >= low) & (draws[edge.choice] < high)
            mask.flags.writeable = False
            taken[parent.name, child.name] = mask
    return MappingProxyType(taken)


def _draws(seed: int, parent: str, kind: str, name: str, queries: int) -> NDArray[np.float64]:
    """Return one uniform number in [0, 1) per query; float64 (queries,)."""
    text = "\0".join((str(seed), parent, kind, name))
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key)).random(queries)
