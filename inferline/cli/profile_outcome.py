"""What ``inferline profile`` says in the end: rows, how often conditions held, what is in which file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
from rich.table import Table

from inferline.cli.profile_preparation import Prepared
from inferline.cli.profile_tables import profile_document, profile_rows, profile_tables
from inferline.cli.tables import print_tables, share
from inferline.files import ProfileTable
from profiler.record import Record
from profiler.walk import EdgeEstimate

__all__ = ["kept", "print_outcome"]


def kept(record: Record) -> str:
    """Return what of this run is in the file."""
    count = len(record.rows)
    if not count:
        return "no row was measured"
    return f"{count} {'row' if count == 1 else 'rows'} of this run {'is' if count == 1 else 'are'} in {record.out}"


def print_outcome(prepared: Prepared, failures: tuple[str, ...], form: str) -> None:
    """Print all rows of what was measured, in earlier runs that this one resumed too, and the estimates.

    Parameters
    ----------
    prepared
        What was to be measured; its record has the rows.
    failures
        What could not be measured, and why.
    form
        ``table`` or ``json``.
    """
    keys = [(each.entry.name, each.hardware.name) for each in (*prepared.finished, *prepared.targets)]
    old = {(each.entry.name, each.hardware.name) for each in prepared.finished} | prepared.done.keys()
    table = prepared.record.table([key for key in keys if key in old or key in prepared.record.measured])
    if form == "json":
        document = _document(prepared, table, failures)
        click.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, default=str))
        return
    parts: list[Table | str] = profile_tables(profile_rows(table))
    if edges := "\n".join(_edge_lines(prepared)):
        parts.append(edges)
    print_tables(parts)


def _document(prepared: Prepared, table: ProfileTable, failures: tuple[str, ...]) -> dict[str, Any]:
    rows = profile_rows(table)
    sources = dict.fromkeys(row.text("source") for row in rows)
    known = prepared.record.environments
    return {
        "version": 1,
        "pipeline": prepared.name,
        "out": str(prepared.record.out),
        "rows": profile_document(rows),
        "edges": [_edge_document(prepared, edge) for edge in prepared.edges],
        "skipped": dict(prepared.skipped),
        "failures": list(failures),
        "environments": {name: known[name] for name in sources if name in known},
    }


def _edge_document(prepared: Prepared, edge: EdgeEstimate) -> dict[str, Any]:
    stated = prepared.stated.get((edge.parent, edge.child))
    low, high = edge.interval
    return {
        "parent": edge.parent,
        "child": edge.child,
        "when": edge.when,
        "visits": edge.visits,
        "taken": edge.taken,
        "probability": edge.share if edge.visits else None,
        "low": low,
        "high": high,
        "stated": stated,
        "stated_within": None if stated is None or not edge.visits else low <= stated <= high,
        "made_up_inputs": edge.made_up,
    }


def _edge_lines(prepared: Prepared) -> Iterator[str]:
    for edge in prepared.edges:
        name = f"edge {edge.parent} -> {edge.child}"
        if not edge.visits:
            yield f"{name}: no sample came to {edge.parent}"
            continue
        low, high = edge.interval
        line = f"{name}: {share(edge.share, 0)} ({share(low, 0)} to {share(high, 0)}, {edge.visits} visits); "
        stated = prepared.stated.get((edge.parent, edge.child))
        if stated is None:
            line += f"the file says none: write probability: {edge.share:.2g}"
        else:
            where = "within" if low <= stated <= high else "outside"
            line += f"the file says {share(stated, 0)}: {where} the interval"
        yield line + ("; the inputs are made up, real ones may differ" if edge.made_up else "")
