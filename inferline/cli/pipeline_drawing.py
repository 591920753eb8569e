"""Where the stages and edges of a pipeline lie when it is drawn: in columns, no edge through a box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from inferline.domain import Pipeline

__all__ = ["BOX_HEIGHT", "BOX_WIDTH", "Box", "Drawing", "Link", "lay_out"]

BOX_WIDTH, BOX_HEIGHT = 184, 78
_COLUMN_GAP, _ROW_GAP, _PASSAGE_HEIGHT, _MARGIN = 92, 26, 16, 34

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A stage: its name and its top left corner, in pixels."""

    stage: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Link:
    """An edge: its ends, the ``d`` of its path, and where its label stands."""

    parent: str
    child: str
    path: str
    label: Point


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawn pipeline; ``entries`` are the points at which queries come in."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    links: tuple[Link, ...]
    entries: tuple[Point, ...]


@dataclass(slots=True)
class _Slot:
    """A place in a column: of a stage, or of an edge that passes through."""

    stage: str = ""
    before: list[_Slot] = field(default_factory=list)
    row: float = 0.0
    y: float = 0.0

    @property
    def height(self) -> float:
        return BOX_HEIGHT if self.stage else _PASSAGE_HEIGHT


def lay_out(pipeline: Pipeline) -> Drawing:
    """Lay a pipeline out.

    A stage stands one column right of its rightmost parent; an edge over several columns keeps a passage free in
    each. Within a column the order follows that of the parents, which avoids most crossings.
    """
    column: dict[str, int] = {}
    for stage in pipeline.stages:
        column[stage.name] = max((column[edge.parent] + 1 for edge in stage.parents), default=0)
    columns: list[list[_Slot]] = [[] for _ in range(max(column.values()) + 1)]
    slots = {stage.name: _Slot(stage.name) for stage in pipeline.stages}
    ways: dict[tuple[str, str], list[_Slot]] = {}
    for stage in pipeline.stages:
        columns[column[stage.name]].append(slots[stage.name])
        for edge in stage.parents:
            way = [slots[edge.parent]]
            for place in range(column[edge.parent] + 1, column[stage.name]):
                way.append(_Slot(before=[way[-1]]))
                columns[place].append(way[-1])
            ways[edge.parent, stage.name] = [*way, slots[stage.name]]
            slots[stage.name].before.append(way[-1])
    height = _stack(columns)
    left = {name: _MARGIN + place * (BOX_WIDTH + _COLUMN_GAP) for name, place in column.items()}
    return Drawing(
        width=_MARGIN * 1.5 + len(columns) * (BOX_WIDTH + _COLUMN_GAP) - _COLUMN_GAP,
        height=height,
        boxes=tuple(Box(name, left[name], slot.y - BOX_HEIGHT / 2) for name, slot in slots.items()),
        links=tuple(_link(ends, way, left) for ends, way in ways.items()),
        entries=tuple((left[stage.name], slots[stage.name].y) for stage in pipeline.stages if stage.is_entry),
    )


def _stack(columns: Sequence[list[_Slot]]) -> float:
    """Order every column, set the middles of its slots, and return the height of all."""
    for slots in columns:
        for place, slot in enumerate(slots):
            slot.row = sum(each.y for each in slot.before) / len(slot.before) if slot.before else float(place)
        slots.sort(key=lambda slot: slot.row)
        # Heights from the middle of the column, so that short columns stand in the middle of long ones.
        y = -(sum(slot.height for slot in slots) + _ROW_GAP * (len(slots) - 1)) / 2
        for slot in slots:
            slot.y = y + slot.height / 2
            y += slot.height + _ROW_GAP
    top = min(slot.y - slot.height / 2 for slots in columns for slot in slots)
    bottom = max(slot.y + slot.height / 2 for slots in columns for slot in slots)
    for slots in columns:
        for slot in slots:
            slot.y += _MARGIN / 2 - top
    return bottom - top + _MARGIN


def _link(ends: tuple[str, str], way: Sequence[_Slot], left: Mapping[str, float]) -> Link:
    """Return the curve through the passages: level where it leaves, passes and arrives."""
    x, y = left[ends[0]] + BOX_WIDTH, way[0].y
    label = (x + _COLUMN_GAP / 2, (y + way[1].y) / 2 + 4)
    path = f"M{x:g} {y:g}"
    for slot in way[1:]:
        middle, x, y = x + _COLUMN_GAP / 2, x + _COLUMN_GAP, slot.y
        path += f" C{middle:g} {_y(path):g} {middle:g} {y:g} {x:g} {y:g}"
        if not slot.stage:
            x += BOX_WIDTH
            path += f" L{x:g} {y:g}"
    return Link(*ends, path, label)


def _y(path: str) -> float:
    return float(path.rsplit(" ", 1)[1])
