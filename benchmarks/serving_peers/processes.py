"""Processes as Linux shows them under /proc: who has started whom, CPU time, and memory."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "busy_s", "cpu_s", "descendants", "memory_bytes"]

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")

# Fields of /proc/PID/stat after the name, from 0 (proc(5) counts them from 3).
_STATE, _PARENT, _TIMES, _START = 0, 1, slice(11, 15), 19
_IDLE = (3, 4)
"""Idle and waiting for a disk, among the columns of /proc/stat."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process; its start tells it from a later one of the same number."""

    pid: int
    start: int

    @property
    def alive(self) -> bool:
        """Whether it runs; one that has ended and is not yet waited for does not."""
        fields = _stat(self.pid)
        return fields is not None and int(fields[_START]) == self.start and fields[_STATE] not in "ZX"

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def descendants(roots: Iterable[int]) -> list[Process]:
    """Return these processes and all that they have started, as far as they run."""
    starts: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for entry in os.listdir(_PROC):
        if entry.isdigit() and (fields := _stat(int(entry))) is not None:
            starts[int(entry)] = int(fields[_START])
            children.setdefault(int(fields[_PARENT]), []).append(int(entry))
    found: list[Process] = []
    waiting = [pid for pid in roots if pid in starts]
    while waiting:
        pid = waiting.pop()
        found.append(Process(pid, starts[pid]))
        waiting += children.get(pid, ())
    return found


def cpu_s(processes: Sequence[Process]) -> float:
    """Return the CPU time of processes and of their children that have ended, user and system, in seconds.

    A child's time goes to its parent when that has waited for it, so that a sum over a whole tree never shrinks.
    """
    ticks = 0
    for each in processes:
        fields = _stat(each.pid)
        if fields is not None and int(fields[_START]) == each.start:
            ticks += sum(map(int, fields[_TIMES]))
    return ticks / _TICKS_PER_S


def memory_bytes(processes: Sequence[Process]) -> int:
    """Return the proportional set size: a page that n processes share counts 1/n in each."""
    total = 0
    for each in processes:
        with suppress(OSError):
            for line in (_PROC / str(each.pid) / "smaps_rollup").read_text(encoding="ascii").splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


def busy_s() -> float:
    """Return the CPU time that the whole machine has spent since it was started."""
    columns = (_PROC / "stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    return sum(int(ticks) for place, ticks in enumerate(columns) if place not in _IDLE) / _TICKS_PER_S


def _stat(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # the name may hold blanks and brackets
