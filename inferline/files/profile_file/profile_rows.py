"""Profile rows as texts: the columns of a profile file, and its cells whatever the file's format is."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from inferline.errors import Fault, InputError
from inferline.files.contents import utf8
from inferline.files.limits import MAX_PROFILE_ROWS

__all__ = ["COLUMNS", "KNOWN", "MEASURED", "NUMBERS", "REQUIRED", "Cells", "Sheet", "csv_sheet", "csv_text"]

REQUIRED = ("model", "hardware", "batch_size", "latency_mean_s")
"""Columns that every profile file has."""

COLUMNS = (
    *REQUIRED,
    "latency_p50_s",
    "latency_p95_s",
    "latency_p99_s",
    "latency_std_s",
    "throughput_qps",
    "samples",
    "load_s",
    "source",
)
"""Columns that every written profile file has, in this order."""

MEASURED = ("hop_mean_s", "hop_p50_s", "hop_p95_s", "hop_p99_s", "colocated_slowdown")
"""Columns that follow where some row says something there."""

KNOWN = (*COLUMNS, *MEASURED)
"""Columns with a meaning."""

NUMBERS = (*COLUMNS[3:-1], *MEASURED)
"""Columns of numbers, except the batch size."""


class Cells(NamedTuple):
    """One row: where it stands (``line 7``), and its cells."""

    where: str
    cells: Sequence[str]


class Sheet(NamedTuple):
    """A header and rows of texts, an empty text where a cell says nothing."""

    header: tuple[str, ...]
    header_where: str
    rows: list[Cells]


def csv_sheet(file: str, data: bytes) -> Sheet:
    """Read the bytes of a CSV file.

    Raises
    ------
    InputError
        When it is not UTF-8 text, not CSV, has no header, or too many rows.
    """
    lines = _lines(file, utf8(file, data))
    first = next(lines, None)
    if first is None:
        raise InputError(Fault(file, "", f"is empty; it needs a header line with {', '.join(REQUIRED)}"))
    rows: list[Cells] = []
    for row in lines:
        if len(rows) == MAX_PROFILE_ROWS:
            raise InputError(Fault(file, row.where, f"has more than {MAX_PROFILE_ROWS} rows"))
        rows.append(row)
    return Sheet(tuple(cell.strip() for cell in first.cells), first.where, rows)


def _lines(file: str, text: str) -> Iterator[Cells]:
    """Yield the lines that are not blank; a row that goes over several lines stands where it begins."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        where = f"line {reader.line_num + 1}"
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(Fault(file, where, f"is not CSV: {error}")) from error
        if any(cell.strip() for cell in cells):
            yield Cells(where, cells)


def csv_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of texts as CSV."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return stream.getvalue()
