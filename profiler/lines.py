"""The rows of a profile file as they are changed while measuring: by (model, hardware) and batch size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields

import numpy as np

from inferline.domain import Profile
from inferline.files import ProfileTable
from inferline.files.profile_file.profile_rows import KNOWN, NUMBERS
from profiler.results import Row

__all__ = ["CLOSED", "Cells", "Key", "Lines", "cells_of", "lines_of", "table_of"]

CLOSED = frozenset({"precise", "budget"})
"""What a row stopped for that is measured to its end."""

Key = tuple[str, str]
"""(model, hardware)"""

Cells = Mapping[str, float | str]
"""One row: numbers in the columns that are numbers to every reader of profiles, texts in all others."""

Lines = Mapping[Key, Mapping[int, Cells]]
"""Rows by (model, hardware) and batch size."""

_KEYS = frozenset({"model", "hardware", "batch_size"})
_EXTRA = ("latency_mean_ci_s", "latency_p99_low_s", "latency_p99_high_s", "stopped", "measured_at")
"""Columns of every measured file that mean nothing to the planner, in the order they are written in."""


def cells_of(row: Row) -> dict[str, float | str]:
    """Return the cells of a measured row, rounded to what a clock can tell.

    Examples
    --------
    >>> rounded("latency_mean_s", 0.01234567891), rounded("throughput_qps", 81.000456), rounded("samples", 3)
    (0.012345679, 81.0005, 3.0)
    """
    cells: dict[str, float | str] = {}
    for each in fields(row):
        value = getattr(row, each.name)
        if each.name in NUMBERS:
            cells[each.name] = rounded(each.name, math.nan if value is None else value)
        elif each.name not in _KEYS:
            cells[each.name] = value if isinstance(value, str) else _text(each.name, value)
    return cells


def rounded(column: str, value: float) -> float:
    """Return a number to the nanosecond when it is a time, else to six digits."""
    return round(float(value), 9) if column.endswith("_s") else float(f"{value:.6g}")


def _text(column: str, value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    number = rounded(column, value)
    return str(int(number)) if number.is_integer() else repr(number)


def lines_of(table: ProfileTable) -> dict[Key, dict[int, Cells]]:
    """Return the rows of a profile table."""
    lines: dict[Key, dict[int, Cells]] = {}
    place = 0
    for key, profile in table.profiles.items():
        columns = {name: getattr(profile, name).tolist() for name in NUMBERS}
        lines[key] = {}
        for i, size in enumerate(profile.batch_size.tolist()):
            numbers = {name: column[i] for name, column in columns.items()}
            extra = {name: texts[place] for name, texts in table.extra.items()}
            lines[key][size] = {**extra, **numbers, "source": profile.source[i]}
            place += 1
    return lines


def table_of(lines: Lines) -> ProfileTable:
    """Return rows as a profile table: ascending batch sizes, the columns of a measurement before foreign ones."""
    ordered = {key: sorted(rows.items()) for key, rows in lines.items() if rows}
    cells = [each for rows in ordered.values() for _, each in rows]
    there = dict.fromkeys(name for each in cells for name, value in each.items() if value != "")
    names = dict.fromkeys((*_EXTRA, *(name for name in there if name not in KNOWN)))
    extra = {name: tuple(str(each.get(name, "")) for each in cells) for name in names}
    return ProfileTable(profiles={key: _profile(key, rows) for key, rows in ordered.items()}, extra=extra)


def _profile(key: Key, rows: list[tuple[int, Cells]]) -> Profile:
    columns = {name: np.array([cells.get(name, math.nan) for _, cells in rows], dtype=float) for name in NUMBERS}
    return Profile(
        model=key[0],
        hardware=key[1],
        batch_size=np.array([size for size, _ in rows], dtype=np.int64),
        source=tuple(str(cells.get("source", "")) for _, cells in rows),
        **columns,
    )
