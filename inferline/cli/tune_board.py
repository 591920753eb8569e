"""The table that ``inferline tune daemon`` keeps on a terminal; elsewhere its log is all there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.table import Table

from inferline.units import NANO
from tuner.control import Outcome, Seen
from tuner.situation import Situation

__all__ = ["tick_table", "watching"]

_RATE_NS = 5 * NANO


@contextmanager
def watching() -> Iterator[Callable[[Situation, Seen, Outcome], None]]:
    """Show every tick on standard error while the block runs, where that is a terminal; log lines stay above it."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda situation, seen, outcome: None  # noqa: ARG005
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def show(situation: Situation, seen: Seen, outcome: Outcome) -> None:
            live.update(tick_table(situation, seen, outcome), refresh=True)

        yield show


def tick_table(situation: Situation, seen: Seen, outcome: Outcome) -> Table:
    """Return what a tick has seen and come to, one line for each stage."""
    conditions = ", ".join(sorted(outcome.state.conditions))
    title = f"{situation.pipeline.name}: {conditions or 'tuning'}"
    table = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    table.add_column("stage", no_wrap=True)
    for name in ("planned", "wanted", "requested", "ready", "rate", "queued"):
        table.add_column(name, justify="right")
    table.add_column("", no_wrap=True)
    for name, at in outcome.state.stages.items():
        stage = None if seen.arrivals is None else seen.arrivals.stages[name]
        table.add_row(
            name,
            str(situation.plan.configuration[name].replicas),
            "-" if at.wanted is None else str(at.wanted),
            "-" if at.known is None else str(at.known),
            "-" if stage is None else str(stage.ready),
            "-"
            if stage is None or seen.arrivals is None
            else f"{_rate(stage.arrival_ns, seen.arrivals.now_ns):.1f}/s",
            "-" if stage is None else str(stage.queued),
            "" if at.asked is None else f"{at.asked.before} -> {at.asked.after}",
            style="" if at.asked is None else "yellow",
        )
    return table


def _rate(arrival_ns: np.ndarray[tuple[int, ...], np.dtype[np.int64]], now_ns: int) -> float:
    return float(np.count_nonzero(arrival_ns > now_ns - _RATE_NS)) * NANO / _RATE_NS
