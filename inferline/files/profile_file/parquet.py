"""Profile rows in Parquet; the one place that needs PyArrow, imported only when such a file is met."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from inferline.errors import Fault, InputError
from inferline.files.limits import MAX_PROFILE_ROWS
from inferline.files.profile_file.profile_rows import Cells, Sheet

try:
    import pyarrow as pa  # type: ignore[import-untyped]  # ships no types
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # ships no types
except ImportError as error:
    raise InputError("Parquet files need PyArrow; install inferline[parquet], or use CSV") from error

__all__ = ["parquet_bytes", "parquet_sheet"]

_EXACT = 2**53


def parquet_sheet(file: str, data: bytes) -> Sheet:
    """Read the bytes of a Parquet file.

    Raises
    ------
    InputError
        When it is not Parquet, or has too many rows.
    """
    try:
        stored = pq.ParquetFile(io.BytesIO(data))
        if stored.metadata.num_rows > MAX_PROFILE_ROWS:
            raise InputError(Fault(file, "", f"has more than {MAX_PROFILE_ROWS} rows"))
        table = stored.read()
        columns = [[_text(value) for value in column.to_pylist()] for column in table.columns]
    except (pa.ArrowException, OSError, ValueError, ArithmeticError, LookupError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(Fault(file, "", f"is not Parquet: {' '.join(str(error).split())[:200]}")) from error
    rows = [Cells(f"row {i}", cells) for i, cells in enumerate(zip(*columns, strict=True), start=1)]
    return Sheet(tuple(table.column_names), "", rows)


def _text(value: object) -> str:
    """Return a cell as CSV has it: nothing for a missing one, whole numbers without a point."""
    if value is None:
        return ""
    if isinstance(value, float):
        if math.isnan(value):
            return ""  # pandas writes a missing number so
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)
    return str(value)


def parquet_bytes(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: frozenset[str]) -> bytes:
    """Return rows of texts as Parquet; the columns in ``numbers`` become numbers, empty cells null."""
    columns = {}
    for i, name in enumerate(header):
        texts = [row[i] for row in rows]
        if name == "batch_size":
            columns[name] = pa.array([int(text) for text in texts], pa.int64())
        elif name in numbers:
            columns[name] = pa.array([float(text) if text else None for text in texts], pa.float64())
        else:
            columns[name] = pa.array(texts, pa.string())
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()
