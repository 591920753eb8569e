"""The cores and threads of a container's process, set before any numerical library counts them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

from inferline.errors import Fault, InputError

__all__ = ["take_cores"]

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def take_cores(cpus: Sequence[int] | None, threads: int | None) -> int:
    """Keep this process on some cores, and its numerical libraries to some threads.

    Parameters
    ----------
    cpus
        Numbers of the cores; None for those that it has.
    threads
        None for one per core, or fewer where a control group allows less; the libraries then follow the environment
        (``OMP_NUM_THREADS`` and its like) where it says something else.

    Returns
    -------
        Threads to compute with.

    Raises
    ------
    InputError
        When the machine does not have these cores.
    """
    if cpus is not None:
        _stay_on(set(cpus))
    count = threads or _usable()
    for variable in _THREADS:
        if threads is not None or variable not in os.environ:
            os.environ[variable] = str(count)
    return count


def _stay_on(wanted: set[int]) -> None:
    reason = "this system does not pin processes"
    if hasattr(os, "sched_setaffinity"):
        try:
            os.sched_setaffinity(0, wanted)
            if os.sched_getaffinity(0) == wanted:
                return
            reason = f"only {sorted(os.sched_getaffinity(0))} of them are there"
        except OSError as error:
            reason = f"this machine does not give them ({error.strerror})"
    raise InputError(Fault("INFERLINE_CPUS", "", f"cannot stay on cores {sorted(wanted)}: {reason}"))


def _usable() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = re.match(r"([0-9]+) ([1-9][0-9]*)", _QUOTA.read_text()) if _QUOTA.is_file() else None
    return max(1, cores if quota is None else min(cores, math.ceil(int(quota[1]) / int(quota[2]))))
