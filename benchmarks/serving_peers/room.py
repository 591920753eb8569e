"""Where one system runs: a folder, an interpreter, and the processes that it consists of, whose use is measured."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.serving_peers.processes import Process, cpu_s, descendants, memory_bytes
from inferline.errors import OutsideError

__all__ = ["Room", "room"]

PROGRAMS = Path(__file__).parent / "programs"
REPOSITORY = Path(__file__).parent.parent.parent
START_S = 120.0
END_S = 15.0
SETTLE_S = 15.0
IDLE_FOR_S = 0.5
IDLE_SHARE = 0.1

# What somebody has set for other purposes would tune a system unseen.
_FOREIGN = ("RAY_", "BENTOML_", "MLSERVER_", "OTEL_", "UVICORN_", "BENCHMARK_", "PYTHON")


class Room:
    """Where one system runs.

    Parameters
    ----------
    name
        What errors call it.
    python
        Its interpreter.
    folder
        Its working folder, for it alone.
    """

    def __init__(self, name: str, python: Path, folder: Path) -> None:
        self.name = name
        self.python = python
        self.folder = folder
        self._log = folder / "output.log"
        self._started: list[subprocess.Popen[bytes]] = []

    def run(self, *command: str | Path, environment: Mapping[str, str]) -> None:
        """Start a process that belongs to the system; `programs` and the repository can be imported there."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)}
        ours = {"PYTHONPATH": f"{PROGRAMS}:{REPOSITORY}", "TMPDIR": str(self.folder)}
        with self._log.open("ab") as log:
            self._started.append(
                subprocess.Popen(
                    [*map(str, command)],
                    cwd=self.folder,
                    env={**inherited, **ours, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for something.

        Raises
        ------
        OutsideError
            When a process ends before, or after two minutes; with the last lines of the output.
        """
        end = time.monotonic() + START_S
        while not condition():
            ended = [each.args for each in self._started if each.poll() is not None]
            if ended or time.monotonic() > end:
                why = f"{ended[0]} has ended" if ended else f"not within {START_S:.0f} s"
                last = "\n".join(self.output().splitlines()[-20:])
                raise OutsideError(f"{self.name}: {what}: {why}; its last words:\n{last}")
            time.sleep(0.05)

    def settle(self) -> None:
        """Wait until hardly any CPU time is spent for half a second, but at most 15: some systems go on starting."""
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            before = self.cpu_s()
            time.sleep(IDLE_FOR_S)
            if self.cpu_s() - before <= IDLE_SHARE * IDLE_FOR_S:
                return

    def output(self) -> str:
        """Return what the processes have printed."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def processes(self) -> list[Process]:
        """Return everything that runs: what was started, and all that it has started."""
        return descendants([each.pid for each in self._started])

    def cpu_s(self) -> float:
        """Return the CPU time spent so far, by processes that have ended as well."""
        return cpu_s(self.processes())

    def memory_bytes(self) -> int:
        """Return the memory held; what several processes share counts once."""
        return memory_bytes(self.processes())

    def end(self) -> None:
        """End everything: first asked, after 15 seconds killed."""
        everything = self.processes()
        for each in self._started:
            if each.poll() is None:
                each.terminate()
        last = time.monotonic() + END_S
        while time.monotonic() < last and any(each.alive for each in everything):
            for started in self._started:
                started.poll()
            time.sleep(0.02)
            # What was started meanwhile has a parent that is still known.
            everything += [each for each in self.processes() if each not in everything]
        for each in everything:
            each.kill()
        for started in self._started:
            started.wait()


@contextmanager
def room(name: str, python: Path | None) -> Iterator[Room]:
    """Give a system a room; it is empty again afterwards, whatever happens.

    Parameters
    ----------
    name
        What errors call it.
    python
        Its interpreter; None for the one that runs.
    """
    # Where such things usually are, as the paths of Ray's sockets have to be short.
    folder = Path(tempfile.mkdtemp(prefix="inferline-"))
    taken = Room(name, Path(sys.executable) if python is None else python, folder)
    try:
        yield taken
    finally:
        # An impatient second ctrl-C would leave processes behind.
        before = [(number, signal.signal(number, signal.SIG_IGN)) for number in (signal.SIGINT, signal.SIGTERM)]
        try:
            taken.end()
        finally:
            for number, handler in before:
                signal.signal(number, handler)
            shutil.rmtree(folder, ignore_errors=True)
