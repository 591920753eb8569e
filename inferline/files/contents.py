"""The bytes of a file and their text; whatever goes wrong there is a fault of the file."""

from __future__ import annotations

import os
from pathlib import Path

from inferline.errors import Fault, InputError

__all__ = ["read_bytes", "utf8", "write_bytes"]


def read_bytes(path: str | os.PathLike[str], most_bytes: int) -> bytes:
    """Return the bytes of a file.

    Parameters
    ----------
    path
        The file; named in faults exactly as given.
    most_bytes
        A larger file is refused after reading this much.

    Raises
    ------
    InputError
        When it cannot be opened or read, or is too large.
    """
    file = os.fspath(path)
    try:
        with Path(path).open("rb") as stream:
            data = stream.read(most_bytes + 1)
    except OSError as error:
        raise InputError(Fault(file, "", f"cannot be read: {error.strerror or error}")) from error
    except ValueError as error:  # a NUL or an unpaired surrogate in the name
        raise InputError(Fault(repr(file), "", "cannot be read: this is no name of a file")) from error
    if len(data) > most_bytes:
        raise InputError(Fault(file, "", f"is larger than {most_bytes // 2**20} MiB, the most that is accepted"))
    return data


def utf8(file: str, data: bytes) -> str:
    """Return the text of UTF-8 bytes, without a byte order mark.

    Raises
    ------
    InputError
        When the bytes are not UTF-8, or hold a NUL; says in which line.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"byte 0x{data[error.start]:02x} is not UTF-8 text"
        raise InputError(Fault(file, f"line {line}", message)) from error
    nul = text.find("\0")
    if nul >= 0:
        line = text.count("\n", 0, nul) + 1
        raise InputError(Fault(file, f"line {line}", "a NUL byte is not text"))
    return text


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file in one step, so that an interruption leaves the old file or the new one, never a half.

    Raises
    ------
    InputError
        When it cannot be written.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        try:
            partial.write_bytes(data)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(Fault(os.fspath(path), "", f"cannot be written: {error.strerror or error}")) from error
