"""A run as one JSON object."""

from __future__ import annotations

from typing import Any

from inferline.units import NANO
from serving_adapter.load.result import LoadResult
from serving_adapter.load.summary import Percentiles, SendError, Summary

__all__ = ["summary_document"]


def summary_document(result: LoadResult, summary: Summary) -> dict[str, Any]:
    """Return the figures as one JSON object; times in seconds."""
    document: dict[str, Any] = {
        "version": 1,
        "url": result.url,
        "loop": "closed" if result.closed_loop else "open",
        "counts": not summary.why,
        "why": summary.why,
        "interrupted": result.interrupted,
        "queries": summary.queries,
        "ok": summary.ok,
        "errors": dict(summary.errors),
        "defaults": summary.defaults,
        "unfinished": summary.unfinished,
        "duration_s": result.duration_ns / NANO,
        "asked_qps": summary.asked_qps,
        "achieved_qps": summary.achieved_qps,
        "throughput_qps": summary.throughput_qps,
        "latency": _seconds(summary.latency),
        "send_error": None if summary.send_error is None else _seconds(summary.send_error),
    }
    if summary.slo_ns is not None:
        document["slo"] = {"latency_s": summary.slo_ns / NANO, "attainment": summary.attainment}
    document["connections"] = {
        "opened": result.opened,
        "most_open": result.most_open,
        "closed_by_server": result.closed_by_server,
        "resent": result.resent,
        "waited_for": result.crowded,
    }
    document["generator"] = {
        "processes": result.processes,
        "cpu_s": round(result.cpu_s, 6),
        "wall_s": round(result.wall_s, 6),
        "cpu_share": round(result.cpu_s / result.wall_s, 4) if result.wall_s > 0 else None,
    }
    if result.excerpt:
        document["first_failure"] = result.excerpt
    return document


def _seconds(times: Percentiles | SendError) -> dict[str, float | None]:
    names = type(times).__slots__
    return {
        f"{name.removesuffix('_ns')}_s": None if (time_ns := getattr(times, name)) is None else time_ns / NANO
        for name in names
    }
