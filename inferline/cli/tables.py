"""Tables for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from inferline.domain import Configuration, Pipeline, Prediction, Slo
from inferline.units import NANO, format_duration, format_usd

__all__ = ["latency_line", "print_tables", "share", "stage_tables"]


def share(ratio: float, digits: int = 1) -> str:
    """Write a ratio as a percentage; a small one that is not 0 never reads as 0.

    Examples
    --------
    >>> share(0.5), share(0.00001), share(0.0)
    ('50.0%', '<0.1%', '0.0%')
    """
    least = 10.0**-digits
    if 0 < ratio * 100 < least:
        return f"<{least:.{digits}f}%"
    return f"{ratio * 100:.{digits}f}%"


def stage_tables(pipeline: Pipeline, configuration: Configuration, predicted: Prediction) -> list[Table]:
    """Return what each stage runs and how busy it is, and where the latency goes; both fit into 80 columns.

    The second table has mean and P99 of waiting and service, and the shares of the SLO's latency that the slowest
    queries spend on them.
    """
    runs = _table("stage", "hardware", "replicas", "max batch", "$/h", "utilisation", "mean batch")
    times = _table("stage", "wait", "P99", "service", "P99", "wait/SLO", "service/SLO")
    for stage in pipeline.stages:
        chosen, seen = configuration[stage.name], predicted.stages[stage.name]
        price = pipeline.unit(chosen.hardware).price_nano_usd_per_hour * chosen.replicas
        runs.add_row(
            stage.name,
            chosen.hardware,
            str(chosen.replicas),
            str(chosen.max_batch),
            format_usd(price),
            share(seen.utilisation, 0),
            f"{seen.mean_batch:.1f}",
        )
        seconds = (seen.wait_mean_s, seen.wait_p99_s, seen.service_mean_s, seen.service_p99_s)
        budget = (seen.budget_wait, seen.budget_service)
        times.add_row(
            stage.name, *(format_duration(each * NANO) for each in seconds), *(share(each, 0) for each in budget)
        )
    return [runs, times]


def _table(first: str, *others: str) -> Table:
    """Return a table without lines: texts to the left, numbers to the right, and the first column never cut off."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, overflow="fold", min_width=12)
    for name in others:
        table.add_column(name, justify="left" if name == "hardware" else "right")
    return table


def latency_line(slo: Slo, predicted: Prediction) -> str:
    """Return the percentiles against the SLO, in one line."""
    percentiles = (("P50", predicted.p50_s), ("P95", predicted.p95_s), ("P99", predicted.p99_s))
    latency = "  ".join(f"{name} {format_duration(seconds * NANO)}" for name, seconds in percentiles)
    verdict = "met" if predicted.slo_met else "MISSED"
    at = f"P{slo.percentile} {format_duration(predicted.at_slo_percentile_s * NANO)}"
    return (
        f"latency  {latency}\n"
        f"SLO      {format_duration(slo.latency_ns)} at P{slo.percentile}: {verdict} ({at}; "
        f"{share(predicted.miss_rate, 2)} of {predicted.queries:,} queries late)"
    )


def print_tables(parts: Sequence[Table | str]) -> None:
    """Print tables and lines on standard output, a blank line between them.

    Without a terminal the tables are as wide as they need to be, so that they can be searched and cut.
    """
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console = Console(highlight=False, soft_wrap=True, width=160)
    for place, part in enumerate(parts):
        if place:
            console.print()
        console.print(part, markup=False) if isinstance(part, str) else console.print(part)
