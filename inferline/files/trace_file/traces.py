"""Reading traces: arrival times of queries, or queries per second; CSV, gzip'd or not.

The file is read in pieces of whole lines. NumPy parses a piece at once; only a piece that it cannot parse, or whose
numbers do not hold, is gone through line by line to name the faults.
"""

from __future__ import annotations

import gzip
import io
import itertools
import os
import zlib
from collections.abc import Iterator

from inferline.domain import Trace
from inferline.domain.arrivals import PerSecondCounts
from inferline.errors import Fault, InputError
from inferline.files.contents import read_bytes
from inferline.files.limits import MAX_QUERIES, MAX_TRACE_BYTES
from inferline.files.trace_file.trace_columns import ArrivalTimes, RequestsPerSecond, TraceColumns, take
from inferline.files.wording import shown

__all__ = ["parse_trace", "read_trace"]

_GZIP = b"\x1f\x8b"
_PIECE_BYTES = 4 * 2**20
_LONGEST_LINE = 1000
_HEADERS = "arrival_s, or second,requests"


def read_trace(path: str | os.PathLike[str]) -> Trace | PerSecondCounts:
    """Read a trace.

    Parameters
    ----------
    path
        CSV with one header line, ``arrival_s`` or ``second,requests``; gzip'd or not, whatever its name.

    Returns
    -------
    Trace or PerSecondCounts
        Arrival times rounded half to even to whole nanoseconds, the trace ending 1 ns after the last one; or the
        counts as they are, not spread.

    Raises
    ------
    InputError
        With the faults of the file, each with its line.
    """
    return parse_trace(os.fspath(path), read_bytes(path, MAX_TRACE_BYTES))


def parse_trace(file: str, data: bytes) -> Trace | PerSecondCounts:
    """Read the bytes of a trace file; otherwise like `read_trace`."""
    pieces = _pieces(file, data)
    header, _, rest = next(pieces, b"").partition(b"\n")
    columns = _columns(file, header)
    faults: list[Fault] = []
    line = 2
    for piece in itertools.chain([rest], pieces):
        take(columns, piece, line, file, faults)
        line += piece.count(b"\n")
        if line - 2 > MAX_QUERIES:
            raise InputError(Fault(file, "", f"has more than {MAX_QUERIES} lines, the most that is accepted"))
    if faults:
        raise InputError(*faults)
    try:
        return columns.finished()
    except ValueError as error:
        raise InputError(Fault(file, "", str(error))) from error


def _columns(file: str, header: bytes) -> TraceColumns:
    text = header.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace")
    names = [name.strip() for name in text.strip().split(",")]
    if names == ["arrival_s"]:
        return ArrivalTimes()
    if names == ["second", "requests"]:
        return RequestsPerSecond()
    if not text.strip():
        raise InputError(Fault(file, "line 1", f"no header; a trace begins with the line {_HEADERS}"))
    raise InputError(Fault(file, "line 1", f"{shown(text.strip())} is not the header of a trace; write {_HEADERS}"))


def _pieces(file: str, data: bytes) -> Iterator[bytes]:
    """Yield the text in pieces that end with a line, decompressed, under the caps on its size and its lines."""
    compressed = data[:2] == _GZIP
    stream: gzip.GzipFile | io.BytesIO = gzip.GzipFile(fileobj=io.BytesIO(data)) if compressed else io.BytesIO(data)
    size, begun = 0, b""
    while piece := _read(file, stream):
        size += len(piece)
        if size > MAX_TRACE_BYTES:
            raise InputError(Fault(file, "", f"is larger than {MAX_TRACE_BYTES // 2**20} MiB when decompressed"))
        whole, newline, rest = piece.rpartition(b"\n")
        if newline:
            yield begun + whole + newline
            begun = rest
        else:
            begun += rest
        if len(begun) > _LONGEST_LINE:
            raise InputError(Fault(file, "", f"has a line of more than {_LONGEST_LINE} characters; this is no trace"))
    if begun:
        yield begun + b"\n"


def _read(file: str, stream: gzip.GzipFile | io.BytesIO) -> bytes:
    try:
        return stream.read(_PIECE_BYTES)
    except EOFError as error:
        raise InputError(Fault(file, "", "is cut off: its gzip data ends too early")) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(Fault(file, "", f"is damaged gzip data: {error}")) from error
