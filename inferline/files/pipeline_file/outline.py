"""The parts of a raw pipeline document that can be read whatever else is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inferline.domain.pipeline import DEFAULT_MAX_REPLICAS
from inferline.files.documents.key_path import KeyPath

__all__ = ["Outline", "StageOutline", "as_mapping", "as_number", "as_whole"]


def as_mapping(value: object) -> Mapping[str, Any]:
    """Return the value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_whole(value: object) -> int | None:
    """Return the value if it is a whole number, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_number(value: object) -> float | None:
    """Return the value if it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeOutline:
    """An edge as far as it can be read: ``path`` is where its parent is named."""

    parent: str
    path: KeyPath
    item: KeyPath
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageOutline:
    """A stage as far as it can be read; what cannot be is None, or as if it were not given."""

    name: str
    model: str | None
    edges: tuple[EdgeOutline, ...]
    hardware: tuple[tuple[KeyPath, str], ...] | None
    max_batch: int | None
    min_replicas: int | None
    max_replicas: int | None
    max_is_default: bool

    @property
    def path(self) -> KeyPath:
        """Key path of the stage."""
        return ("stages", self.name)


class Outline:
    """Stages and hardware of a raw document.

    Parameters
    ----------
    document
        The raw document.
    """

    def __init__(self, document: object) -> None:
        self.document = as_mapping(document)
        self.hardware = as_mapping(self.document.get("hardware"))
        self.stages = {
            name: _stage(name, as_mapping(raw)) for name, raw in as_mapping(self.document.get("stages")).items()
        }

    def limit(self, hardware: str) -> float:
        """Return the most units of that hardware; infinite without a limit."""
        limit = as_whole(as_mapping(self.hardware.get(hardware)).get("limit"))
        return math.inf if limit is None else limit

    def allowed(self, stage: StageOutline) -> tuple[str, ...]:
        """Return the declared hardware that a stage may use, each once."""
        if stage.hardware is None:
            return tuple(self.hardware)
        return tuple(dict.fromkeys(name for _, name in stage.hardware if name in self.hardware))


def _stage(name: str, raw: Mapping[str, Any]) -> StageOutline:
    path: KeyPath = ("stages", name)
    model, after, hardware = raw.get("model"), raw.get("after"), raw.get("hardware")
    replicas = as_mapping(raw.get("replicas"))
    edges = [_edge((*path, "after", i), item) for i, item in enumerate(after if isinstance(after, list) else [])]
    named = None
    if isinstance(hardware, list):
        named = tuple(((*path, "hardware", i), each) for i, each in enumerate(hardware) if isinstance(each, str))
    return StageOutline(
        name=name,
        model=model if isinstance(model, str) else None,
        edges=tuple(edge for edge in edges if edge is not None),
        hardware=named,
        max_batch=as_whole(raw.get("max_batch")),
        min_replicas=as_whole(replicas.get("min", 1)),
        max_replicas=as_whole(replicas.get("max", DEFAULT_MAX_REPLICAS)),
        max_is_default="max" not in replicas,
    )


def _edge(path: KeyPath, item: object) -> EdgeOutline | None:
    if isinstance(item, str):
        return EdgeOutline(parent=item, path=path, item=path, raw={})
    raw = as_mapping(item)
    parent = raw.get("stage")
    if not isinstance(parent, str):
        return None
    return EdgeOutline(parent=parent, path=(*path, "stage"), item=path, raw=raw)
