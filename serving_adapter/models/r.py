"""Models of R: a function in R of a model and a batch, run by a process of R that lives as long as the replica.

A directory of such a model holds ``func.R``, whose last value is ``function(model, inputs)``, and, when the function
needs a model, ``model.rds``, which ``saveRDS`` wrote. The inputs are a list with a numeric, integer or raw vector, or
a string, for each query. What it returns has one output per input: a list, a vector, or a matrix with a row for each.

The process runs ``serve.R``, which needs nothing but R itself. Both sides speak over two pipes, in frames of integers
of 32 bits and the bytes of values, little-endian: numbers arrive as they were sent, and cost no text. What R prints
goes to this process's log.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from inferline.errors import Fault, InputError, OutsideError

__all__ = ["FUNCTION", "MODEL", "RModel", "load"]

FUNCTION = "func.R"
MODEL = "model.rds"

_PROGRAM = Path(__file__).with_name("serve.R")

_BYTES, _INTEGERS, _FLOATS, _DOUBLES, _STRINGS = range(5)
_KINDS = {"i": _INTEGERS, "f4": _FLOATS, "f8": _DOUBLES}

_FAILED = -1
"""Instead of the number of outputs: a text follows that says why there are none."""

_STDERR = 2
_END_S = 5.0


@dataclass(frozen=True, slots=True)
class RModel:
    """A function in a process of R.

    Parameters
    ----------
    process
        The process; it ends when `requests` is closed.
    requests, replies
        The pipes to it and from it.
    """

    process: subprocess.Popen[bytes]
    requests: BinaryIO
    replies: BinaryIO

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Have R call the function with a batch; return its outputs as texts.

        Raises
        ------
        OutsideError
            When the function fails, or does not return one output per input, or R has ended.
        """
        kind = _kind(inputs)
        frames = [_frame(each) for each in inputs]
        header = struct.pack(f"<{2 + len(frames)}i", len(frames), kind, *map(len, frames))
        try:
            self.requests.write(header + b"".join(frames))
            self.requests.flush()
        except BrokenPipeError as error:
            raise self._ended() from error
        outputs = self._reply()
        return [str(each, "utf-8", "replace") for each in outputs]

    def await_loaded(self) -> None:
        """Wait until R has loaded the model.

        Raises
        ------
        OutsideError
            When it cannot.
        """
        self._reply()

    def close(self) -> None:
        """End the process."""
        with suppress(BrokenPipeError):
            self.requests.close()
        self.replies.close()
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _reply(self) -> list[bytes]:
        (count,) = struct.unpack("<i", self._read(4))
        if count == _FAILED:
            (length,) = struct.unpack("<i", self._read(4))
            raise OutsideError(f"R: {str(self._read(length), 'utf-8', 'replace').strip()}")
        lengths = struct.unpack(f"<{count}i", self._read(4 * count))
        return [self._read(length) for length in lengths]

    def _read(self, length: int) -> bytes:
        content = self.replies.read(length)
        if len(content) < length:
            raise self._ended()
        return content

    def _ended(self) -> OutsideError:
        try:
            code = f"with exit code {self.process.wait(_END_S)}"
        except subprocess.TimeoutExpired:
            code = "its side of the pipes"
        return OutsideError(f"R ended {code}; what it said last is in the log")


def load(folder: Path, threads: int) -> RModel:
    """Start R with the function and the model of a directory.

    Parameters
    ----------
    folder
        The directory.
    threads
        Threads that numerical libraries of R may compute with, where they heed ``OMP_NUM_THREADS``.

    Raises
    ------
    InputError
        When R is not installed.
    OutsideError
        When R cannot load what is there; says why.
    """
    rscript = shutil.which("Rscript")
    if rscript is None:
        missing = "needs R, whose Rscript is not on the path (apt-get install r-base-core)"
        raise InputError(Fault(str(folder / FUNCTION), "", missing))
    their_requests, our_requests = os.pipe()
    our_replies, their_replies = os.pipe()
    command = [rscript, str(_PROGRAM), str(folder), str(their_requests), str(their_replies)]
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=_STDERR,
            pass_fds=(their_requests, their_replies),
            env={**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)},
            start_new_session=True,  # ctrl-C is for the replica, which ends R when the batch in hand is done
        )
    except OSError as error:
        for pipe in (our_requests, our_replies):
            os.close(pipe)
        raise OutsideError(f"{rscript} cannot be started: {error.strerror or error}") from error
    finally:
        os.close(their_requests)
        os.close(their_replies)
    model = RModel(process, os.fdopen(our_requests, "wb"), os.fdopen(our_replies, "rb"))
    try:
        model.await_loaded()
    except BaseException:
        model.close()
        raise
    return model


def _kind(inputs: Sequence[Any]) -> int:
    first = inputs[0]
    if isinstance(first, str):
        return _STRINGS
    if isinstance(first, bytes):
        return _BYTES
    return _KINDS["i"] if first.dtype.kind == "i" else _KINDS[f"f{first.dtype.itemsize}"]


def _frame(value: Any) -> bytes:  # noqa: ANN401 - what a replica is handed
    if isinstance(value, str):
        return value.replace("\0", "").encode()  # which no string of R can hold
    return value if isinstance(value, bytes) else np.ascontiguousarray(value).tobytes()
