"""What ``inferline load`` prints for people."""

from __future__ import annotations

from inferline.cli.tables import share
from inferline.units import NANO, format_duration
from serving_adapter.load import LoadResult, Progress, Summary

__all__ = ["progress_line", "summary_lines"]


def progress_line(progress: Progress) -> str:
    """Return how a run is going, in one line.

    Examples
    --------
    >>> progress_line(Progress(sent=1500, waiting=0, in_flight=3, elapsed_s=2.0, p99_s=0.0123))
    '2 s  1,500 sent (750/s)  3 in flight  recent P99 12.3 ms'
    """
    words = [
        f"{progress.elapsed_s:.0f} s",
        f"{progress.sent:,} sent ({progress.sent / max(progress.elapsed_s, 1e-9):,.0f}/s)",
        f"{progress.in_flight:,} in flight",
    ]
    if progress.waiting:
        words.append(f"{progress.waiting:,} waiting for a connection")
    if progress.p99_s is not None:
        words.append(f"recent P99 {format_duration(progress.p99_s * NANO)}")
    return "  ".join(words)


def summary_lines(result: LoadResult, summary: Summary) -> list[str]:
    """Return the figures of a run, in blocks; that it does not count comes first."""
    blocks = [_traffic(result, summary), "\n".join(_rows(result, summary))]
    return [f"THIS RUN DOES NOT COUNT: {summary.why}", *blocks] if summary.why else blocks


def _traffic(result: LoadResult, summary: Summary) -> str:
    kind = "closed loop" if result.closed_loop else "open loop"
    over = f"{summary.queries:,} queries in {format_duration(result.duration_ns)} to {result.url}"
    return f"{kind}: {over}{' (interrupted)' if result.interrupted else ''}"


def _rows(result: LoadResult, summary: Summary) -> list[str]:
    latency = summary.latency
    percentiles = "  ".join(
        f"{name} {_time(time_ns)}"
        for name, time_ns in (
            ("P50", latency.p50_ns),
            ("P90", latency.p90_ns),
            ("P95", latency.p95_ns),
            ("P99", latency.p99_ns),
            ("max", latency.max_ns),
        )
    )
    rows = {"rate": _rate(summary)}
    if result.closed_loop:
        rows["latency"] = f"{percentiles}  (closed loop: from the sending)"
    else:
        rows["latency"] = f"{percentiles}  (from the intended instant)"
    if (lag := summary.send_error) is not None:
        times = "  ".join(f"{name} {_time(each)}" for name, each in _lag_columns(lag.p50_ns, lag.p99_ns, lag.max_ns))
        rows["send error"] = f"{times}  (bound of the P99: {_time(lag.bound_ns)})"
    if summary.slo_ns is not None and summary.attainment is not None:
        rows["SLO"] = f"{share(summary.attainment, 2)} of the queries answered within {_time(summary.slo_ns)}"
    rows["replies"] = _replies(summary)
    rows["connections"] = _connections(result)
    busy = result.cpu_s / max(result.wall_s, 1e-9)
    rows["generator"] = f"{_count(result.processes, 'process', 'processes')}, {busy:.0%} of a core"
    if result.excerpt:
        rows["first failure"] = " ".join(result.excerpt.split())
    width = max(map(len, rows))
    return [f"{name:<{width}}  {text}" for name, text in rows.items()]


def _lag_columns(p50_ns: int, p99_ns: int, max_ns: int) -> tuple[tuple[str, int], ...]:
    return (("P50", p50_ns), ("P99", p99_ns), ("max", max_ns))


def _rate(summary: Summary) -> str:
    throughput = f"{summary.throughput_qps:,.1f} answered/s"
    if summary.asked_qps is None or summary.achieved_qps is None:
        return throughput
    return f"{summary.asked_qps:,.1f} queries/s asked, {summary.achieved_qps:,.1f} sent in time, {throughput}"


def _replies(summary: Summary) -> str:
    parts = [f"{summary.ok:,} ok"]
    if summary.defaults:
        parts.append(f"{summary.defaults:,} of them the default output")
    parts += [f"{count:,} {kind}" for kind, count in summary.errors.items()]
    if summary.unfinished:
        parts.append(f"{summary.unfinished:,} cut off by the interrupt")
    return ", ".join(parts)


def _connections(result: LoadResult) -> str:
    parts = [f"{result.opened:,} opened", f"at most {result.most_open:,} at a time"]
    if result.closed_by_server:
        parts.append(f"{result.closed_by_server:,} closed by the server")
    if result.resent:
        parts.append(f"{_count(result.resent, 'query', 'queries')} sent once more after that")
    if result.crowded:
        parts.append(f"{_count(result.crowded, 'query', 'queries')} had to wait for one")
    return ", ".join(parts)


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _time(time_ns: int | None) -> str:
    return "no answer" if time_ns is None else format_duration(time_ns)
