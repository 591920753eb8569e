"""Judging the cells of profile rows; every fault names its line and column."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Mapping, MutableMapping, Sequence
from typing import NamedTuple

from inferline.domain import SERVICE_TIMES
from inferline.errors import Fault
from inferline.files.documents.fields import name_fault
from inferline.files.documents.scalars import decimal
from inferline.files.faults import MOST_FAULTS, cut
from inferline.files.limits import MAX_BATCH_SIZE
from inferline.files.profile_file.profile_rows import KNOWN, NUMBERS, REQUIRED, Sheet
from inferline.files.wording import shown
from inferline.units import MAX_TIME_NS, NANO

__all__ = ["Row", "read_rows"]

# A batch takes time; what is only derived from it may be 0.
_ABOVE_ZERO = frozenset({*SERVICE_TIMES.values(), "colocated_slowdown"})
_LONGEST_S = MAX_TIME_NS / NANO


class Row(NamedTuple):
    """One row of a profile; NaN where it says nothing."""

    file: str
    where: str
    batch_size: int
    numbers: Mapping[str, float]
    source: str
    extra: Mapping[str, str]


def read_rows(file: str, sheet: Sheet, rows: MutableMapping[tuple[str, str, int], Row], faults: list[Fault]) -> None:
    """Add the rows of one file.

    Parameters
    ----------
    file
        The file, as the user named it.
    sheet
        Its texts.
    rows
        The rows of this and earlier files by (model, hardware, batch size).
    faults
        Where the faults go.
    """
    found = [Fault(file, sheet.header_where, message) for message in _header_faults(sheet.header)]
    if not found:
        for where, cells in sheet.rows:
            messages = _add(file, where, sheet.header, cells, rows)
            found += [Fault(file, where, message) for message in messages]
            if len(found) > 10 * MOST_FAULTS:
                break
    faults.extend(cut(found))


def _header_faults(header: tuple[str, ...]) -> list[str]:
    messages = [f"column {shown(name)} stands {n} times" for name, n in Counter(header).items() if name and n > 1]
    messages += [f"column {i} has no name" for i, name in enumerate(header, start=1) if not name]
    missing = [name for name in REQUIRED if name not in header]
    if missing and len(header) == 1 and ";" in header[0]:
        return ["columns are separated by semicolons; write commas"]
    others = [name for name in header if name and name not in KNOWN]
    for name in missing:
        near = difflib.get_close_matches(name, others[:300], n=1)
        messages.append(f"no column {shown(name)}" + (f" (did you mean it with {shown(near[0])}?)" if near else ""))
    return messages


def _add(
    file: str,
    where: str,
    header: tuple[str, ...],
    cells: Sequence[str],
    rows: MutableMapping[tuple[str, str, int], Row],
) -> list[str]:
    """Add one row, or return what is wrong with it."""
    if len(cells) != len(header):
        return [f"has {len(cells)} cells; the header has {len(header)}"]
    cell = dict(zip(header, cells, strict=True))
    model, hardware = cell["model"].strip(), cell["hardware"].strip()
    messages = [
        f"{column}: {fault}" for column in ("model", "hardware") if (fault := name_fault(cell[column].strip()))
    ]
    batch_size = _batch_size(cell["batch_size"], messages)
    numbers = {column: _number(column, cell.get(column, ""), messages) for column in NUMBERS}
    if messages or (messages := _too_slow(numbers)):
        return messages
    key = (model, hardware, batch_size)
    if key in rows:
        first = rows[key]
        place = first.where if first.file == file else f"{first.file}: {first.where}"
        return [f"model {shown(model)}, hardware {shown(hardware)}, batch_size {batch_size} stand already in {place}"]
    extra = {name: text for name, text in cell.items() if name not in KNOWN}
    rows[key] = Row(file, where, batch_size, numbers, cell.get("source", ""), extra)
    return []


def _too_slow(numbers: Mapping[str, float]) -> list[str]:
    """Return which latencies the slowdown makes too long to be planned with."""
    slowdown = numbers["colocated_slowdown"]
    return [
        f"colocated_slowdown: {slowdown:g} times {column} is longer than 146 years (2**62 ns)"
        for column in SERVICE_TIMES.values()
        if numbers[column] * slowdown >= _LONGEST_S
    ]


def _batch_size(text: str, messages: list[str]) -> int:
    value = decimal(text)
    if value is None or not value.is_integer():
        messages.append(f"batch_size: {shown(text)} is not a whole number")
        return 0
    if not 1 <= value <= MAX_BATCH_SIZE:
        messages.append(
            f"batch_size: {text.strip()} is out of range; it must be at least 1 and at most {MAX_BATCH_SIZE}"
        )
    return int(value)


def _number(column: str, text: str, messages: list[str]) -> float:
    if not text.strip() and column not in REQUIRED:
        return math.nan
    value = decimal(text)
    if value is None or not math.isfinite(value):
        cure = "" if column in REQUIRED else "; leave the cell empty when it is not known"
        messages.append(f"{column}: {shown(text)} is not a number{cure}")
        return math.nan
    above_zero = column in _ABOVE_ZERO
    if value < 0 or (above_zero and value == 0):
        least = "above 0" if above_zero else "at least 0"
        messages.append(f"{column}: {text.strip()} is out of range; it must be {least}")
    elif column.endswith("_s") and value >= _LONGEST_S:
        messages.append(f"{column}: {text.strip()} is longer than 146 years (2**62 ns)")
    return value
