"""Asking the supervisor of a deployment, which is started when it is needed and not there."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

from inferline.errors import OutsideError
from serving_adapter.replicas.local import detach
from serving_adapter.replicas.local.folders import CONTROL, SUPERVISOR_LOG, WANTED, make_folder
from serving_adapter.replicas.local.logs import last_words, open_log
from serving_adapter.replicas.local.messages import (
    LISTENS,
    REPLY_BYTES,
    REQUEST_BYTES,
    TAKEN,
    Reply,
    Request,
    decode,
    encode,
)

__all__ = ["ask"]

_MODULE = "serving_adapter.replicas.local.supervisor"
_PATIENCE_S = 60.0
_PAUSE_S = 0.05
_LONGEST_PATH = 100
"""Of a Unix socket, for which Linux has 107 bytes (unix(7))."""


def ask(folder: Path, request: Request) -> Reply | None:
    """Have a supervisor do something.

    Parameters
    ----------
    folder
        The deployment's folder.
    request
        What is asked.

    Returns
    -------
        How things are then; None when there is no supervisor, nothing that one would have to keep running, and
        nothing asked that would need one.

    Raises
    ------
    OutsideError
        When it refuses, cannot be started or does not answer.
    """
    line = encode(request) + b"\n"
    if len(line) > REQUEST_BYTES:
        raise OutsideError(f"a request has at most {REQUEST_BYTES} bytes; the model's entry makes it {len(line)}")
    until_s = monotonic() + _PATIENCE_S
    while True:
        reply = _exchange(folder, line)
        if reply is None and request.do in {"stop", "show"} and not (folder / WANTED).exists():
            return None
        if reply is not None and not reply.error:
            return reply
        if reply is not None and not reply.again:
            raise OutsideError(reply.error)
        said = _start(folder) if reply is None else reply.error
        if reply is None and said not in {LISTENS, TAKEN}:
            raise OutsideError(f"the supervisor of {folder} does not start: {said}")
        if monotonic() >= until_s:
            raise OutsideError(f"nothing can be asked of the supervisor of {folder} after {_PATIENCE_S:g} s: {said}")
        if said != LISTENS:
            sleep(_PAUSE_S)


def _exchange(folder: Path, line: bytes) -> Reply | None:
    """Send a line and return the answer; None when nobody listens, or ends just now."""
    try:
        with _connected(folder) as connection:
            connection.sendall(line)
            answer = _received(connection)
    except (FileNotFoundError, NotADirectoryError, ConnectionError):
        return None
    except OSError as error:
        raise OutsideError(f"the supervisor of {folder} does not answer: {error}") from error
    if not answer.endswith(b"\n"):
        return None
    try:
        return decode(answer, Reply)
    except ValueError as error:
        raise OutsideError(
            f"the supervisor of {folder} answers nonsense ({error}); if it is of another version, "
            "stop its deployment with that version, or end it by SIGTERM"
        ) from error


def _connected(folder: Path) -> socket.socket:
    path = os.fspath(folder / CONTROL)
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        return _connection(path)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return _connection(f"/proc/self/fd/{descriptor}/{CONTROL}")
    finally:
        os.close(descriptor)


def _connection(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_PATIENCE_S)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _received(connection: socket.socket) -> bytes:
    parts, size = [], 0
    while size <= REPLY_BYTES and (part := connection.recv(65536)):
        parts.append(part)
        size += len(part)
        if part.endswith(b"\n"):
            break
    return b"".join(parts)


def _start(folder: Path) -> str:
    """Start a supervisor that outlives this process; return what it says."""
    if sys.platform != "linux":
        raise OutsideError("replicas as processes of this machine need Linux; take a container engine")
    make_folder(folder)
    report, theirs = os.pipe()
    log = open_log(folder / SUPERVISOR_LOG)
    start = os.lseek(log, 0, os.SEEK_END)
    command = [sys.executable, "-P", "-m", _MODULE, os.fspath(folder), str(theirs)]
    try:
        subprocess.run(
            [sys.executable, "-I", "-S", detach.__file__, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[theirs],
            cwd=folder,
            timeout=_PATIENCE_S,
            check=True,
        )
        os.close(theirs)
        theirs = -1
        said = _report(report)
    except (OSError, subprocess.SubprocessError) as error:
        raise OutsideError(f"no supervisor can be started in {folder}: {error}") from error
    finally:
        for descriptor in (report, log, theirs):
            if descriptor >= 0:
                os.close(descriptor)
    return said or last_words(folder / SUPERVISOR_LOG, start) or "it ended and said nothing"


def _report(descriptor: int) -> str:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(_PATIENCE_S * 1000):
        return f"it says nothing for {_PATIENCE_S:g} s"
    return os.read(descriptor, 4096).decode(errors="replace")
