"""Reading and writing profile files: CSV or Parquet, one row per (model, hardware, batch size)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from inferline.domain import Profile
from inferline.errors import Fault, InputError
from inferline.files.contents import read_bytes, write_bytes
from inferline.files.faults import attempt
from inferline.files.limits import MAX_PROFILE_BYTES
from inferline.files.profile_file.profile_cells import Row, read_rows
from inferline.files.profile_file.profile_rows import COLUMNS, MEASURED, NUMBERS, Sheet, csv_sheet, csv_text

__all__ = ["Key", "ProfileTable", "read_profile_table", "read_profiles", "write_profiles"]

Key = tuple[str, str]
"""(model, hardware)"""

StrPath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileTable:
    """All rows of some profile files, with the columns that have no meaning here.

    Parameters
    ----------
    profiles
        Profile of each (model, hardware), in the order of the files.
    extra
        Texts of the other columns by name, one per row: profile after profile, batch size after batch size.
    sha256
        Digest of the file's bytes; of several files, of their digests one after the other.
    """

    profiles: Mapping[Key, Profile]
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sha256: str = ""


def read_profiles(paths: StrPath | Iterable[StrPath]) -> Mapping[Key, Profile]:
    """Read profile files.

    Parameters
    ----------
    paths
        One file or several; CSV, or Parquet by its content. A profile may be spread over files.

    Returns
    -------
    Mapping
        Profile of each (model, hardware).

    Raises
    ------
    InputError
        With every fault of every file.
    """
    return read_profile_table(paths).profiles


def read_profile_table(paths: StrPath | Iterable[StrPath]) -> ProfileTable:
    """Read profile files with their extra columns; otherwise like `read_profiles`."""
    files = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    faults: list[Fault] = []
    digests: list[bytes] = []
    rows: dict[tuple[str, str, int], Row] = {}
    for path in files:
        if (read := attempt(faults, partial(_sheet, path))) is not None:
            digest, sheet = read
            digests.append(digest)
            read_rows(os.fspath(path), sheet, rows, faults)
    if not faults and not rows:
        faults.append(Fault(os.fspath(files[0]) if files else "profiles", "", "holds no rows; it needs at least one"))
    if faults:
        raise InputError(*faults)
    together = digests[0] if len(digests) == 1 else hashlib.sha256(b"".join(digests)).digest()
    return _table(rows, together.hex())


def _sheet(path: StrPath) -> tuple[bytes, Sheet]:
    """Return the digest and the texts of a file."""
    data = read_bytes(path, MAX_PROFILE_BYTES)
    digest = hashlib.sha256(data).digest()
    if data[:4] != b"PAR1":
        return digest, csv_sheet(os.fspath(path), data)
    from inferline.files.profile_file.parquet import parquet_sheet  # noqa: PLC0415 - PyArrow is optional and slow to import

    return digest, parquet_sheet(os.fspath(path), data)


def _table(rows: Mapping[tuple[str, str, int], Row], sha256: str) -> ProfileTable:
    by_profile: dict[Key, list[Row]] = {}
    for (model, hardware, _), row in rows.items():
        by_profile.setdefault((model, hardware), []).append(row)
    ordered = {key: sorted(of, key=lambda row: row.batch_size) for key, of in by_profile.items()}
    names = dict.fromkeys(name for row in rows.values() for name in row.extra)
    extra = {name: tuple(row.extra.get(name, "") for of in ordered.values() for row in of) for name in names}
    return ProfileTable(
        profiles={key: _profile(*key, of) for key, of in ordered.items()},
        extra=extra,
        sha256=sha256,
    )


def _profile(model: str, hardware: str, rows: list[Row]) -> Profile:
    columns = {name: np.array([row.numbers[name] for row in rows], dtype=np.float64) for name in NUMBERS}
    return Profile(
        model=model,
        hardware=hardware,
        batch_size=np.array([row.batch_size for row in rows], dtype=np.int64),
        source=tuple(row.source for row in rows),
        **columns,
    )


def write_profiles(path: StrPath, table: ProfileTable | Mapping[Key, Profile]) -> None:
    """Write a profile file in one step: Parquet when its name ends in ``.parquet``, else CSV.

    Parameters
    ----------
    path
        The file; an old one is replaced.
    table
        The profiles, with or without extra columns. Numbers are written so that reading gives them back exactly. A
        column of hops or slowdowns is written only where some row says something.

    Raises
    ------
    InputError
        When the file cannot be written.
    """
    whole = table if isinstance(table, ProfileTable) else ProfileTable(profiles=table)
    measured = [name for name in MEASURED if any(_says(profile, name) for profile in whole.profiles.values())]
    header = (*COLUMNS, *measured, *whole.extra)
    rows = [row for profile in whole.profiles.values() for row in _texts(profile, measured)]
    for texts in whole.extra.values():
        rows = [[*row, text] for row, text in zip(rows, texts, strict=True)]
    if Path(path).suffix == ".parquet":
        from inferline.files.profile_file.parquet import parquet_bytes  # noqa: PLC0415 - PyArrow is optional and slow to import

        write_bytes(path, parquet_bytes(header, rows, frozenset(NUMBERS)))
    else:
        write_bytes(path, csv_text(header, rows).encode())


def _says(profile: Profile, name: str) -> bool:
    return not np.isnan(getattr(profile, name)).all()


def _texts(profile: Profile, measured: Iterable[str]) -> list[list[str]]:
    """Return the cells of every row: those of `COLUMNS`, then the measured ones."""

    def texts(name: str) -> list[str]:
        return [_number(value) for value in getattr(profile, name).tolist()]

    sizes = [str(size) for size in profile.batch_size.tolist()]
    columns = [sizes, *map(texts, COLUMNS[3:-1]), profile.source, *map(texts, measured)]
    return [[profile.model, profile.hardware, *cells] for cells in zip(*columns, strict=True)]


def _number(value: float) -> str:
    """Return the shortest text that reads back as the same number; nothing for NaN."""
    if np.isnan(value):
        return ""
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
