"""The process of a replica, seen from outside: its reports, its last words, its end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec

from inferline.errors import OutsideError

__all__ = ["Child"]

_LAST_BYTES = 4096
_LAST_LINES = 3
_PATIENCE_S = 2.0

# The path is no environment variable, which a model's own processes and foreign containers would inherit.
_START = """
import sys
if sys.argv[2]:
    sys.path.insert(0, sys.argv[2])
from profiler.replica_process import main
main()
"""


class Child:
    """A process that runs `profiler.replica_process`.

    It is the leader of a session of its own, so that ctrl-C in a terminal reaches the profiler alone, which then ends
    the process; and it dies with the profiler, however that dies.

    Parameters
    ----------
    order
        What it is to do; a JSON value, see `profiler.replica_process`.
    environment
        Environment variables, beside those of this process.

    Raises
    ------
    OutsideError
        When no process can be started.
    """

    def __init__(self, order: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        self._reports, reports = os.pipe()
        self._written, written = os.pipe()
        self._partial = b""
        self._last = b""
        try:
            self._process = subprocess.Popen(
                # -P: a module of the user's that is named like one of ours must not be found first.
                [sys.executable, "-P", "-c", _START, str(reports), _home()],
                stdin=subprocess.PIPE,
                stdout=written,
                stderr=written,
                pass_fds=[reports],
                env={**os.environ, **environment},
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._reports)
            os.close(self._written)
            raise OutsideError(f"cannot start a process for a replica: {error}") from error
        finally:
            os.close(reports)
            os.close(written)
        os.set_blocking(self._reports, False)
        self._listener = Thread(target=self._listen, name="replica-output", daemon=True)
        self._listener.start()
        if self._process.stdin is not None:
            with suppress(BrokenPipeError), self._process.stdin as stream:  # it has died: its exit code tells
                stream.write(msgspec.json.encode({**order, "parent": os.getpid()}, enc_hook=os.fspath))

    @property
    def exit_code(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def reports(self, wait_s: float = 0.0) -> list[dict[str, Any]]:
        """Return the reports that have come; wait for some that long when there are none yet."""
        poll = select.poll()
        poll.register(self._reports, select.POLLIN)
        if not poll.poll(wait_s * 1000):
            return []
        with suppress(BlockingIOError):
            while data := os.read(self._reports, 65536):
                self._partial += data
        *lines, self._partial = self._partial.split(b"\n")
        return [msgspec.json.decode(line) for line in lines]

    def last_words(self) -> str:
        """Return the last lines that the process wrote to its output, in one."""
        self._listener.join(0.5)
        lines = [line.strip() for line in self._last.decode(errors="replace").splitlines() if line.strip()]
        return " / ".join(lines[-_LAST_LINES:])

    def end(self) -> None:
        """End the process and all that it has started: politely, and after two seconds by force."""
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_PATIENCE_S)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """End the process and let go of what is kept about it; more than once does no harm."""
        if self._reports < 0:
            return
        self.end()
        os.close(self._reports)
        self._reports = -1
        self._listener.join(1.0)
        if not self._listener.is_alive():  # a daemon of the model's may still hold the other end
            os.close(self._written)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _listen(self) -> None:
        """Keep the end of what the process writes; all of it is read, or the process would wait for us."""
        while data := os.read(self._written, 65536):
            self._last = (self._last + data)[-_LAST_BYTES:]


def _home() -> str:
    """Return the folder that this package is in; nothing when it is where installed packages are found anyway."""
    home = str(Path(__file__).resolve().parent.parent)
    return "" if home == sysconfig.get_path("purelib") else home
