"""What ``inferline status`` prints: tables and lines for people, and a JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

from inferline.cli.server_options import Reached
from inferline.cli.tables import share
from inferline.units import format_duration
from serving_adapter.client.documents import PipelineDocument
from serving_adapter.deployment.looks import Attainment
from serving_adapter.deployment.status import PipelineStatus, SetStatus, StageStatus

__all__ = ["status_document", "status_parts"]

VERSION = 1


def status_parts(at: Reached, statuses: Sequence[PipelineStatus]) -> list[Table | str]:
    """Return tables and lines for people: of each pipeline replicas, traffic, SLO, and what replicas say."""
    if not statuses:
        return [f"no pipeline is registered at {at.admin_url}"]
    parts: list[Table | str] = []
    for status in statuses:
        parts += [_replicas(status), _traffic(status), "\n".join(_lines(at, status))]
    return parts


def _replicas(status: PipelineStatus) -> Table:
    table = _table(("stage", "version", "hardware"), ("planned", "requested", "ready", "observed", "restarts"))
    for stage in status.stages:
        for place, each in enumerate(stage.sets):
            serves = each.version == stage.version
            short = serves and (stage.observed < stage.planned or bool(each.phases.get("failed")))
            asked = each.requested is not None
            table.add_row(
                "" if place else stage.name,
                each.version,
                each.hardware,
                str(each.planned),
                str(each.requested) if asked else "-",
                str(each.phases.get("ready", 0)) if asked else "-",
                "" if place else str(stage.observed),
                str(each.restarts) if asked else "-",
                style="red" if short else "",
            )
    for name, sets in status.others.items():
        for place, each in enumerate(sets):
            ready = str(each.phases.get("ready", 0))
            cells = ("" if place else name, each.version, each.hardware, "0", str(each.requested), ready, "-")
            table.add_row(*cells, str(each.restarts))
    return table


def _traffic(status: PipelineStatus) -> Table:
    table = _table(("stage",), ("max batch", "queued", "rate", "utilisation"))
    for stage in status.stages:
        table.add_row(
            stage.name,
            "-" if stage.max_batch is None else str(stage.max_batch),
            f"{stage.queued:,}",
            "-" if stage.rate_qps is None else f"{stage.rate_qps:.3g}/s",
            "-" if stage.utilisation is None else share(stage.utilisation, 0),
        )
    return table


def _table(texts: Sequence[str], figures: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in texts:
        table.add_column(name, overflow="fold")
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _lines(at: Reached, status: PipelineStatus) -> Iterator[str]:
    yield f"{status.name} at {at.predict_url(status.name)}"
    objective = f"{format_duration(status.slo.latency_ns)} at P{status.slo.percentile}"
    yield f"SLO      {objective}: {_attained(status.whole, status, 'since the core started')}"
    yield f"         {_attained(status.recent, status, f'in the last {status.over_s:.1f} s')}"
    for sets in (*(stage.sets for stage in status.stages), *status.others.values()):
        for each in sets:
            for message in each.messages:
                yield f"replica  {message}"
    if status.others:
        yield f"remark   stages that the plan does not have still run: {', '.join(status.others)}; deploy it again"


def _attained(seen: Attainment | None, status: PipelineStatus, when: str) -> str:
    """Say which share of the queries was in time; the histogram's bounds may make it an interval."""
    if seen is None:
        return f"no query {when}"
    least, most = share(seen.least, 2), share(seen.most, 2)
    between = least if least == most else f"{least} to {most}"
    objective = float(status.slo.percentile) / 100
    verdict = " (met)" if seen.least >= objective else " (MISSED)" if seen.most < objective else ""
    return f"{between} of {seen.queries:,} queries within it {when}{verdict}"


def status_document(
    at: Reached, statuses: Sequence[PipelineStatus], records: Sequence[PipelineDocument]
) -> dict[str, Any]:
    """Return all that is known, with the plans that are registered."""
    return {
        "version": VERSION,
        "query_url": at.query_url,
        "admin_url": at.admin_url,
        "pipelines": [_pipeline(status, record, at) for status, record in zip(statuses, records, strict=True)],
    }


def _pipeline(status: PipelineStatus, record: PipelineDocument, at: Reached) -> dict[str, Any]:
    percentile = status.slo.percentile
    return {
        "name": status.name,
        "predict_url": at.predict_url(status.name),
        "slo": {
            "latency_s": status.slo.latency_ns / 1e9,
            "percentile": int(percentile) if percentile == int(percentile) else float(percentile),
        },
        "over_s": status.over_s,
        "attainment": _attainment(status.whole),
        "recent_attainment": _attainment(status.recent),
        "stages": {stage.name: _stage(stage) for stage in status.stages},
        "others": {name: list(map(_set, sets)) for name, sets in status.others.items()},
        "plan": record["plan"],
    }


def _attainment(seen: Attainment | None) -> dict[str, Any] | None:
    return None if seen is None else {"queries": seen.queries, "at_least": seen.least, "at_most": seen.most}


def _stage(stage: StageStatus) -> dict[str, Any]:
    return {
        "model": stage.model,
        "version": stage.version,
        "max_batch": stage.max_batch,
        "observed": stage.observed,
        "queued": stage.queued,
        "rate_qps": stage.rate_qps,
        "utilisation": stage.utilisation,
        "sets": list(map(_set, stage.sets)),
    }


def _set(seen: SetStatus) -> dict[str, Any]:
    return {
        "version": seen.version,
        "hardware": seen.hardware,
        "planned": seen.planned,
        "requested": seen.requested,
        "phases": dict(seen.phases),
        "restarts": seen.restarts,
        "messages": list(seen.messages),
    }
