"""A process under supervision, and those that have lost theirs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from serving_adapter.replicas.local import shim
from serving_adapter.replicas.local.launches import MARK, Launch
from serving_adapter.replicas.local.logs import last_words, open_log

__all__ = ["Process", "end_leftovers"]


class Process:
    """A process that dies with this one, however this one dies, and takes all that it has started with it.

    Parameters
    ----------
    launch
        How it is started.

    Raises
    ------
    OSError, ValueError
        When it cannot be started.
    """

    def __init__(self, launch: Launch) -> None:
        if launch.ready_file is not None:
            launch.ready_file.unlink(missing_ok=True)  # of a process that could not do so itself
        self._launch = launch
        log = open_log(launch.log)
        try:
            self._log_start = os.lseek(log, 0, os.SEEK_END)
            cores = ",".join(map(str, launch.cores))
            # -I and -S: nothing of the user's is imported, and it starts in a third of the time.
            between = [sys.executable, "-I", "-S", shim.__file__, str(os.getpid()), cores, os.fspath(launch.folder)]
            self._process = subprocess.Popen(
                [*between, *launch.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=launch.environment,
                start_new_session=True,
            )
        finally:
            os.close(log)

    def exit_code(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        if self._process.returncode is not None:
            return self._process.returncode
        # Its number stays its own until it is waited for, so that nobody else's processes are ended below.
        if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return None
        self.kill()
        if self._launch.ready_file is not None:
            self._launch.ready_file.unlink(missing_ok=True)
        return self._process.wait()

    def shows_ready(self) -> bool:
        """Whether its ready file is there."""
        return self._launch.ready_file is None or self._launch.ready_file.exists()

    def terminate(self) -> None:
        """Ask it to end after what it has in hand; what it has started is its own to end."""
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, with all that it has started and that has not gone its own way."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def end_reason(self) -> str:
        """Return how it ended, and what it said last."""
        code = self._process.returncode
        said = last_words(self._launch.log, self._log_start)
        if code == -signal.SIGKILL:
            how = "was killed, which is what happens when memory runs out"
        elif code < 0:
            how = f"was ended by {_signal_name(-code)}"
        else:
            how = f"ended with exit code {code}"
        return f"{how}; it last wrote: {said}" if said else how


def end_leftovers(folder: Path) -> int:
    """End what former processes of a deployment have left running, and return how many that were.

    The processes themselves have died with their supervisor. What they in turn had started may have not, and is
    found by the environment variable that it has inherited.
    """
    mark = f"{MARK}={folder}".encode()
    ended = 0
    for each in Path("/proc").glob("[0-9]*"):
        try:
            descriptor = os.pidfd_open(int(each.name))  # so that its number cannot become another's meanwhile
        except OSError:
            continue
        try:
            if int(each.name) != os.getpid() and mark in (each / "environ").read_bytes().split(b"\0"):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                ended += 1
        except OSError:  # somebody else's, or gone
            pass
        finally:
            os.close(descriptor)
    return ended


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
