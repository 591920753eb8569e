"""Every query of a run in a file: CSV, or Parquet when its name says so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from inferline.errors import Fault, InputError
from inferline.units import NANO
from serving_adapter.load.records import Outcome, Records

__all__ = ["check_per_query", "write_per_query"]

_ROWS_AT_ONCE = 100_000
_HEADER = "query,intended_s,sent_s,latency_s,status,ok,default,error\n"
_SUFFIXES = (".csv", ".parquet")


def check_per_query(path: Path) -> None:
    """Check that such a file can be written, before anybody waits for a run.

    Raises
    ------
    InputError
        When its name ends in neither ``.csv`` nor ``.parquet``, its folder is missing, or PyArrow is.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(Fault("--out", str(path), f"ends in neither of {', '.join(_SUFFIXES)}"))
    if not path.parent.is_dir():
        raise InputError(Fault(str(path), "", "cannot be written: there is no such folder"))
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow.parquet  # type: ignore[import-untyped]  # noqa: F401, PLC0415 - optional, and untyped
        except ImportError as error:
            raise InputError("--out with .parquet needs PyArrow: pip install 'inferline[parquet]'") from error


def write_per_query(path: Path, records: Records) -> None:
    """Write every query, in the order of the intended instants; the file appears whole or not at all.

    The columns are ``query`` (from 0), ``intended_s`` and ``sent_s`` from the start, ``latency_s`` from the intended
    instant to the reply or the failure, HTTP ``status``, ``ok``, ``default`` and ``error`` (the kind of failure).
    What there is not is empty.

    Parameters
    ----------
    path
        Where to; its ending says whether as CSV or as Parquet.
    records
        The queries.

    Raises
    ------
    InputError
        When it cannot be written.
    """
    write = _parquet if path.suffix.lower() == ".parquet" else _csv
    with _whole(path) as partial:
        write(partial, records)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(Fault(str(path), "", f"cannot be written: {error.strerror or error}")) from error


def _csv(path: Path, records: Records) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(_HEADER)
        for first in range(0, len(records), _ROWS_AT_ONCE):
            file.writelines(_lines(records.taken(slice(first, first + _ROWS_AT_ONCE)), first))


def _lines(records: Records, first: int) -> Iterator[str]:
    columns: tuple[list[Any], ...] = tuple(
        column.tolist()
        for column in (
            records.intended_ns,
            records.sent_ns,
            records.latency_ns,
            records.status,
            records.outcome,
            records.default,
        )
    )
    for query, (intended, sent, latency, status, outcome, default) in enumerate(zip(*columns, strict=True), first):
        yield (
            f"{query},{_seconds(intended)},{_seconds(sent)},{_seconds(latency)},{status or ''},"
            f"{int(outcome == Outcome.OK)},{int(default)},{error_word(outcome)}\n"
        )


def _seconds(time_ns: int) -> str:
    return "" if time_ns < 0 else f"{time_ns // NANO}.{time_ns % NANO:09d}"


def error_word(outcome: int) -> str:
    """Return the kind of failure as the per-query file says it: empty for an answered query."""
    if outcome == Outcome.OK:
        return ""
    return "http" if outcome == Outcome.STATUS else Outcome(outcome).name.lower()


def _parquet(path: Path, records: Records) -> None:
    import pyarrow as pa  # noqa: PLC0415 - optional
    import pyarrow.parquet as pq  # noqa: PLC0415

    words = np.array([error_word(outcome) for outcome in Outcome], dtype=object)

    def seconds(times_ns: Any) -> Any:  # noqa: ANN401 - arrays in, an untyped array out
        return pa.array(times_ns / NANO, pa.float64(), mask=times_ns < 0)

    columns = {
        "query": pa.array(np.arange(len(records))),
        "intended_s": seconds(records.intended_ns),
        "sent_s": seconds(records.sent_ns),
        "latency_s": seconds(records.latency_ns),
        "status": pa.array(records.status, pa.int16(), mask=records.status == 0),
        "ok": pa.array(records.outcome == Outcome.OK),
        "default": pa.array(records.default),
        "error": pa.array(words[records.outcome], pa.string()),
    }
    pq.write_table(pa.table(columns), path)
