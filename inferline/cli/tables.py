"""Tables for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from inferline.domain import Configuration, Pipeline, Prediction, Slo
from inferline.units import NANO, format_duration, format_usd

__all__ = ["latency_line", "print_tables", "share", "stage_table"]


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


def stage_table(pipeline: Pipeline, configuration: Configuration, predicted: Prediction) -> Table:
    """Return one row per stage: configuration, cost, load, times and what it spends of the SLO."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("stage", overflow="fold")
    for name in ("hardware", "replicas", "batch", "$/h", "util", "mean batch"):
        table.add_column(name, justify="left" if name == "hardware" else "right", no_wrap=name != "hardware")
    for name in ("wait mean/P99", "service mean/P99", "of SLO: wait+service"):
        table.add_column(name, justify="right", no_wrap=True)
    for stage in pipeline.stages:
        chosen, seen = configuration[stage.name], predicted.stages[stage.name]
        price = pipeline.unit(chosen.hardware).price_nano_usd_per_hour * chosen.replicas
        table.add_row(
            stage.name,
            chosen.hardware,
            str(chosen.replicas),
            str(chosen.max_batch),
            format_usd(price),
            share(seen.utilisation, 0),
            f"{seen.mean_batch:.1f}",
            _pair(seen.wait_mean_s, seen.wait_p99_s),
            _pair(seen.service_mean_s, seen.service_p99_s),
            f"{share(seen.budget_wait, 0)} + {share(seen.budget_service, 0)}",
        )
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


def _pair(mean_s: float, p99_s: float) -> str:
    return f"{format_duration(mean_s * NANO)} / {format_duration(p99_s * NANO)}"
