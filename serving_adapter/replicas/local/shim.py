"""A process between fork and exec: it ties itself to its parent, goes to its cores, and becomes another program.

``python -I -S shim.py PARENT CORES FOLDER PROGRAM [ARGUMENT ...]``. What Linux is told here holds on after exec: when
the thread that started this process ends, which is the supervisor's only one, the kernel kills it (prctl(2),
PR_SET_PDEATHSIG). A function between fork and exec in the supervisor itself could do the same, and deadlock: NumPy
has threads there. It imports nothing but what it needs, to cost little.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become the program; ends with exit code 1 when that cannot be."""
    parent, cores, folder, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it died before
        sys.exit(1)
    try:
        if cores:
            os.sched_setaffinity(0, [int(core) for core in cores.split(",")])
        os.chdir(folder)
        os.execvp(command[0], command)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        sys.exit(f"level=ERROR event=refused code=1 message=cannot start {command[0]!r} in {folder!r}: {reason}")


if __name__ == "__main__":
    main()
