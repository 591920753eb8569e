"""Logs of bounded size, and the last that was said in them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["last_words", "open_log", "trim"]

MOST_BYTES = 4 * 2**20
"""A log that has grown larger becomes the former log, ``.1``, of which there is one."""

_LAST_BYTES = 16384
_LAST_LINES = 3
_LONGEST = 500
_ERROR = "level=ERROR "


def open_log(path: Path) -> int:
    """Return a descriptor that whatever is written to is added at the end of a log, wherever that is by then."""
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def trim(path: Path, most_bytes: int = MOST_BYTES) -> None:
    """Put a log aside that has become too large; what is written meanwhile may be lost."""
    with suppress(FileNotFoundError):
        size = path.stat().st_size
        if size <= most_bytes:
            return
        with path.open("rb") as log:
            log.seek(size - most_bytes)
            path.with_name(f"{path.name}.1").write_bytes(log.read(most_bytes))
        # In place, for the processes that write to it go on writing to this file.
        os.truncate(path, 0)


def last_words(path: Path, start: int = 0) -> str:
    """Return the last error that was logged, else the last three lines, in one.

    Parameters
    ----------
    path
        The log.
    start
        Where to look from; a log that is shorter has been put aside, and is looked at as a whole.
    """
    try:
        with path.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(start if start <= size else 0, size - _LAST_BYTES))
            text = log.read(_LAST_BYTES).decode(errors="replace")
    except OSError:  # no log, no words
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.partition(_ERROR)[2] for line in lines if _ERROR in line]
    return " / ".join(line[:_LONGEST] for line in errors[-1:] or lines[-_LAST_LINES:])
