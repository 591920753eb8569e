"""Profiles for people and for programs: one table for each model on each hardware, or one JSON document."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from inferline.cli.tables import share
from inferline.files import ProfileTable
from inferline.files.documents.scalars import decimal
from inferline.files.profile_file.profile_rows import NUMBERS
from inferline.units import NANO, format_duration

__all__ = ["ProfileRow", "profile_document", "profile_rows", "profile_tables", "qps"]

_BAR = " ▏▎▍▌▋▊▉█"
_BAR_CELLS = 8
_WIDE = 130
_TEXTS = frozenset({"source", "stopped", "measured_at"})


class _Column(NamedTuple):
    """A column of a table."""

    name: str
    cells: list[str]
    justify: Literal["left", "right"] = "right"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRow:
    """One row of any profile file.

    Parameters
    ----------
    model, hardware, batch_size
        What was measured.
    cells
        Every other column: a number, a text, or None where the file says nothing.
    """

    model: str
    hardware: str
    batch_size: int
    cells: Mapping[str, float | str | None]

    def number(self, column: str) -> float:
        """Return the number in a column; NaN where there is none."""
        value = self.cells.get(column)
        return value if isinstance(value, float) else math.nan

    def text(self, column: str) -> str:
        """Return the text in a column; empty where there is none."""
        value = self.cells.get(column)
        return value if isinstance(value, str) else ""

    @property
    def throughput_qps(self) -> float:
        """Throughput as the file says it, else batch size over mean latency."""
        said = self.number("throughput_qps")
        return self.batch_size / self.number("latency_mean_s") if math.isnan(said) else said


def profile_rows(table: ProfileTable) -> list[ProfileRow]:
    """Return the rows of a profile table in its order."""
    rows: list[ProfileRow] = []
    for profile in table.profiles.values():
        for i, size in enumerate(profile.batch_size.tolist()):
            numbers = {name: float(getattr(profile, name)[i]) for name in NUMBERS}
            extra = {name: _cell(name, texts[len(rows)]) for name, texts in table.extra.items()}
            cells = {**{name: None if math.isnan(value) else value for name, value in numbers.items()}, **extra}
            cells["source"] = profile.source[i] or None
            rows.append(ProfileRow(model=profile.model, hardware=profile.hardware, batch_size=int(size), cells=cells))
    return rows


def _cell(name: str, text: str) -> float | str | None:
    number = None if name in _TEXTS else decimal(text)
    return number if number is not None else (text or None)


def profile_document(rows: list[ProfileRow]) -> list[dict[str, Any]]:
    """Return rows as plain mappings; null where the file says nothing."""
    return [
        {"model": row.model, "hardware": row.hardware, "batch_size": row.batch_size, **_whole(row.cells)}
        for row in rows
    ]


def _whole(cells: Mapping[str, float | str | None]) -> dict[str, float | str | None]:
    """Write whole numbers without a point: 300 samples are no measurement of 300.0."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() and not name.endswith("_s") else value
        for name, value in cells.items()
    }


def profile_tables(rows: list[ProfileRow], now: datetime | None = None) -> list[Table | str]:
    """Return what is known of each (model, hardware); ``-`` where the file says nothing.

    One table each, or two on a terminal that is not wide enough for it: latency, and the rest.

    Parameters
    ----------
    rows
        Of `profile_rows`.
    now
        The time to count ages from; this moment when None.
    """
    console = Console()
    wide = not console.is_terminal or console.width >= _WIDE
    by_profile: dict[tuple[str, str], list[ProfileRow]] = {}
    for row in rows:
        by_profile.setdefault((row.model, row.hardware), []).append(row)
    parts: list[Table | str] = []
    for (model, hardware), of in by_profile.items():
        batch, latency, rest = _batch_column(of), _latency_columns(of), _other_columns(of)
        about = "; ".join(_about(of, now or datetime.now(UTC)))
        title = f"{model} on {hardware}" + (f": {about}" if about else "")
        parts += (
            [_table(title, [batch, *latency, *rest])]
            if wide
            else [
                _table(title, [batch, *latency]),
                _table("", [batch, *rest]),
            ]
        )
    return parts


def _about(rows: list[ProfileRow], now: datetime) -> Iterator[str]:
    load_s = [row.number("load_s") for row in rows if not math.isnan(row.number("load_s"))]
    if load_s:
        yield f"starts in {_seconds(max(load_s))}"
    ages = sorted(age for row in rows if (age := _age_s(row.text("measured_at"), now)) is not None)
    if ages:
        youngest, oldest = _ago(ages[0]), _ago(ages[-1])
        yield f"measured {youngest} ago" if youngest == oldest else f"measured {youngest} to {oldest} ago"
    if sources := list(dict.fromkeys(row.text("source") for row in rows if row.text("source"))):
        yield "source " + ", ".join(sources)


def _age_s(text: str, now: datetime) -> float | None:
    try:
        measured = datetime.fromisoformat(text)
    except ValueError:
        return None
    return max(0.0, (now - (measured if measured.tzinfo else measured.replace(tzinfo=UTC))).total_seconds())


def _ago(seconds: float) -> str:
    """Return an age in the largest unit of which there are two.

    Examples
    --------
    >>> [_ago(each) for each in (3, 119, 121, 7200, 400000)]
    ['3 s', '119 s', '2 min', '2 h', '4 days']
    """
    for unit, size_s in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds // size_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def _table(title: str, columns: list[_Column]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    if title:
        table.title, table.title_justify, table.title_style = Text(title), "left", "not italic bold"
    for column in columns:
        table.add_column(column.name, justify=column.justify, no_wrap=True)
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*cells)
    return table


def _batch_column(rows: list[ProfileRow]) -> _Column:
    return _Column("batch", [str(row.batch_size) for row in rows])


def _latency_columns(rows: list[ProfileRow]) -> list[_Column]:
    half_widths = [row.number("latency_mean_ci_s") / row.number("latency_mean_s") for row in rows]
    low, high = "latency_p99_low_s", "latency_p99_high_s"
    return [
        _Column("mean", [_seconds(row.number("latency_mean_s")) for row in rows]),
        _Column("+/-", ["-" if math.isnan(each) else share(each) for each in half_widths]),
        *(
            _Column(name, [_seconds(row.number(f"latency_{name.lower()}_s")) for row in rows])
            for name in ("P50", "P95", "P99")
        ),
        _Column("95 % interval", [_interval(row.number(low), row.number(high)) for row in rows]),
    ]


def _other_columns(rows: list[ProfileRow]) -> list[_Column]:
    most = max(row.throughput_qps for row in rows)
    columns = [
        _Column("throughput", [qps(row.throughput_qps) for row in rows]),
        _Column("", [_bar(row.throughput_qps / most) for row in rows], "left"),
        _Column("hop adds", [_added(row.number("hop_mean_s") - row.number("latency_mean_s")) for row in rows]),
        _Column("samples", [_count(row.number("samples")) for row in rows]),
        _Column("stopped", [row.text("stopped") or "-" for row in rows], "left"),
    ]
    if not all(math.isnan(row.number("colocated_slowdown")) for row in rows):
        columns.insert(-1, _Column("side by side", [_beside(row) for row in rows]))
    return columns


def qps(throughput_qps: float) -> str:
    """Write a throughput for people, with four digits.

    Examples
    --------
    >>> qps(4.0281), qps(1451.2), qps(14016.4)
    ('4.028/s', '1,451/s', '14,016/s')
    """
    return f"{throughput_qps:,.4g}/s" if throughput_qps < 9999.5 else f"{throughput_qps:,.0f}/s"


def _seconds(seconds: float) -> str:
    return "-" if math.isnan(seconds) else format_duration(seconds * NANO)


def _added(seconds: float) -> str:
    return f"-{_seconds(-seconds)}" if seconds < 0 else _seconds(seconds)


def _interval(low_s: float, high_s: float) -> str:
    if math.isnan(low_s) and math.isnan(high_s):
        return "-"
    return f"{_seconds(low_s)} to {_seconds(high_s)}"


def _count(number: float) -> str:
    return "-" if math.isnan(number) else f"{number:,.0f}"


def _beside(row: ProfileRow) -> str:
    slowdown, count = row.number("colocated_slowdown"), row.number("colocated")
    if math.isnan(slowdown):
        return "-"
    return f"{slowdown:.2f}x" if math.isnan(count) else f"{count:.0f}: {slowdown:.2f}x"


def _bar(share: float) -> str:
    """Return a bar of eight cells, to an eighth of a cell.

    Examples
    --------
    >>> _bar(1.0), _bar(0.5), _bar(0.01)
    ('████████', '████    ', '▏       ')
    """
    eighths = max(1, round(share * 8 * _BAR_CELLS)) if share > 0 else 0
    whole, part = divmod(eighths, 8)
    return ("█" * whole + (_BAR[part] if part else "")).ljust(_BAR_CELLS)
