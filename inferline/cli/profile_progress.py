"""Progress of ``inferline profile``: a table on a terminal, a line for each closed row elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from inferline.cli.profile_tables import qps
from inferline.cli.tables import share
from inferline.units import NANO, format_duration
from profiler.lines import CLOSED
from profiler.results import Measurement, Row, Target

__all__ = ["Board", "watching"]


class Board:
    """What is shown on standard error while models are measured.

    Parameters
    ----------
    console
        Of standard error.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spinner = Spinner("dots", text="")
        self._targets: Sequence[Target] = ()
        self._latest: dict[tuple[str, str], Measurement] = {}
        self._closed: set[tuple[str, str, int]] = set()
        self._failed: set[tuple[str, str]] = set()

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def tell(self, line: str) -> None:
        """Say what is going on; shows on a terminal only."""
        self._spinner.update(text=Text(line))

    def expect(self, targets: Sequence[Target]) -> None:
        """Say what is going to be measured."""
        self._targets = targets

    def give_up(self, target: Target, reason: str) -> None:
        """Say why a target is not measured to its end."""
        self._failed.add(_key(target))
        self.say(f"failed: {reason}")

    def observe(self, measurement: Measurement) -> None:
        """Show what is measured so far."""
        self._latest[_key(measurement.target)] = measurement
        for row in measurement.rows:
            key = (row.model, row.hardware, row.batch_size)
            if row.stopped in CLOSED and key not in self._closed:
                self._closed.add(key)
                if not self._console.is_terminal:
                    self.say(row_line(row, measurement.target))

    def __rich__(self) -> Group:
        """Return what a terminal shows: a table of the rows, and below it what is going on."""
        return Group(self._table(), self._spinner) if self._latest else Group(self._spinner)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("stage", "hardware"):
            table.add_column(name, no_wrap=True)
        for name in ("batch", "mean", "+/-", "P99", "throughput", "samples", "time left"):
            table.add_column(name, justify="right", no_wrap=True)
        for target in self._targets:
            latest = self._latest.get(_key(target))
            names = (", ".join(target.stages) or target.entry.name, target.hardware.name)
            if _key(target) in self._failed:
                table.add_row(*names, *("" for _ in range(6)), "failed", style="red")
            elif latest is None:
                table.add_row(*names, *("" for _ in range(6)), "waiting", style="dim")
            elif latest.finished:
                sizes = [row.batch_size for row in latest.rows]
                shown = f"{sizes[0]} to {sizes[-1]}" if sizes else "-"
                table.add_row(*names, shown, *("" for _ in range(5)), "done", style="dim")
            else:
                _add_rows(table, names, latest)
        return table


def _key(target: Target) -> tuple[str, str]:
    return target.entry.name, target.hardware.name


def _add_rows(table: Table, names: tuple[str, str], latest: Measurement) -> None:
    for i, row in enumerate(latest.rows):
        time_left = "" if i else format_duration(round(latest.time_left_s) * NANO)
        table.add_row(
            *(names if i == 0 else ("", "")),
            str(row.batch_size),
            *_figures(row),
            time_left,
            style="green" if row.stopped in CLOSED else "",
        )


def _figures(row: Row) -> tuple[str, str, str, str, str]:
    half_width = row.latency_mean_ci_s / row.latency_mean_s
    return (
        format_duration(row.latency_mean_s * NANO),
        "-" if math.isnan(half_width) else share(half_width),
        format_duration(row.latency_p99_s * NANO),
        qps(row.throughput_qps),
        f"{row.samples:,}",
    )


def row_line(row: Row, target: Target) -> str:
    """Return a closed row as one line."""
    mean, half_width, p99, throughput, samples = _figures(row)
    stages = ", ".join(target.stages) or row.model
    return (
        f"{stages} on {row.hardware}, batch {row.batch_size}: {mean} +/- {half_width}, P99 {p99}, {throughput}, "
        f"{samples} samples ({row.stopped})"
    )


@contextmanager
def watching() -> Iterator[Board]:
    """Show a board on standard error while the block runs."""
    console = Console(stderr=True)
    board = Board(console)
    if not console.is_terminal:
        yield board
        return
    with Live(board, console=console, refresh_per_second=4, transient=True):
        yield board
