"""The machine that measures: its cores and accelerators, which hardware it can stand for, and where replicas go."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inferline.domain import Hardware

__all__ = [
    "Accelerator",
    "Machine",
    "Placement",
    "apart",
    "away_from",
    "parse_accelerators",
    "parse_quota",
    "placements",
    "reason_not_here",
    "same_accelerator",
    "this_machine",
    "variables",
]

_QUERY = ("--query-gpu=index,name,memory.total,driver_version,uuid", "--format=csv,noheader")
_QUERY_TIMEOUT_S = 20.0
_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_ANYBODY = frozenset({"nvidia", "tesla", "geforce", "quadro", "com", "gpu", "cuda"})
"""Words in the name of an accelerator that do not tell one from another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One accelerator; ``index`` is its number on the PCI bus, ``memory_bytes`` None when it does not say."""

    index: int
    name: str
    memory_bytes: int | None = None
    driver: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What this process may use.

    Parameters
    ----------
    cores
        Numbers of the processor cores.
    accelerators
        Accelerators, by ascending index.
    name
        What the processor calls itself.
    """

    cores: tuple[int, ...]
    accelerators: tuple[Accelerator, ...] = ()
    name: str = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The cores and accelerators that one replica gets."""

    hardware: Hardware
    cores: tuple[int, ...]
    accelerators: tuple[Accelerator, ...] = ()

    @property
    def threads(self) -> int:
        """Threads that the replica may compute with: its whole CPUs, at least one."""
        return max(1, math.floor(self.hardware.cpus))


def this_machine() -> Machine:
    """Look at this machine: the cores this process may run on, and the accelerators that ``nvidia-smi`` lists.

    A quota of CPU time (control groups, as containers have) counts as so many fewer cores, and accelerators that
    ``CUDA_VISIBLE_DEVICES`` hides are not there.
    """
    usable = getattr(os, "sched_getaffinity", None)
    cores = sorted(usable(0)) if usable is not None else list(range(os.cpu_count() or 1))
    quota = parse_quota(_QUOTA.read_text()) if _QUOTA.is_file() else None
    if quota is not None:
        cores = cores[: max(1, math.floor(quota))]
    return Machine(cores=tuple(cores), accelerators=_accelerators(), name=_processor())


def parse_quota(text: str) -> float | None:
    """Return the CPUs that a control group may use, from its ``cpu.max``; None for no limit.

    Examples
    --------
    >>> parse_quota("250000 100000"), parse_quota("max 100000")
    (2.5, None)
    """
    match = re.fullmatch(r"([0-9]+) ([1-9][0-9]*)", text.strip())
    return None if match is None else int(match[1]) / int(match[2])


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    match = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text(), re.MULTILINE) if cpuinfo.is_file() else None
    return "unknown" if match is None else match[1].strip()


def _accelerators() -> tuple[Accelerator, ...]:
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    try:
        answer = subprocess.run(
            [command, *_QUERY], capture_output=True, text=True, timeout=_QUERY_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):  # no driver, no device, or it hangs: nothing to measure on
        return ()
    return parse_accelerators(answer.stdout, os.environ.get("CUDA_VISIBLE_DEVICES"))


def parse_accelerators(text: str, visible: str | None = None) -> tuple[Accelerator, ...]:
    r"""Read what ``nvidia-smi`` lists.

    Parameters
    ----------
    text
        A line for each: index, name, memory, driver version, UUID.
    visible
        Indices or UUIDs, separated by commas; None for all.

    Examples
    --------
    >>> parse_accelerators("0, Tesla K80, 11441 MiB, 470.82, GPU-1a\n1, Tesla K80, [N/A], 470.82, GPU-2b", "GPU-2")
    (Accelerator(index=1, name='Tesla K80', memory_bytes=None, driver='470.82'),)
    """
    found = []
    asked = None if visible is None else [each.strip() for each in visible.split(",") if each.strip()]
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 5 or not cells[0].isdigit():
            continue
        index, name, memory, driver, uuid = cells
        if asked is not None and not any(each == index or uuid.startswith(each) for each in asked):
            continue
        size = re.fullmatch(r"([0-9]+) MiB", memory)
        memory_bytes = None if size is None else int(size[1]) * 2**20
        found.append(Accelerator(index=int(index), name=name, memory_bytes=memory_bytes, driver=driver))
    return tuple(sorted(found, key=lambda each: each.index))


def same_accelerator(wanted: str, found: str) -> bool:
    """Whether the name in a pipeline file means what an accelerator calls itself.

    Every word of it must be among the other's words; makers and families do not count.

    Examples
    --------
    >>> same_accelerator("nvidia-k80", "Tesla K80"), same_accelerator("nvidia-l4", "NVIDIA L40")
    (True, False)
    >>> same_accelerator("a100-80gb", "NVIDIA A100-SXM4-80GB"), same_accelerator("rtx4090", "GeForce RTX 4090")
    (True, True)
    """
    ours, theirs = (re.findall(r"[a-z0-9]+", name.lower()) for name in (wanted, found))
    ours = [word for word in ours if word not in _ANYBODY]
    runs = {"".join(theirs[i:j]) for i in range(len(theirs)) for j in range(i + 1, len(theirs) + 1)}
    return all(word in runs for word in ours)


def reason_not_here(machine: Machine, hardware: Hardware) -> str | None:
    """Return why the machine cannot stand for that hardware; None when it can.

    Examples
    --------
    >>> reason_not_here(Machine(cores=(0, 1)), Hardware(name="big", price_nano_usd_per_hour=0, cpus=8))
    'needs 8 CPUs; this machine offers 2'
    """
    if hardware.cpus > len(machine.cores):
        return f"needs {hardware.cpus:g} CPUs; this machine offers {len(machine.cores)}"
    needed, there = _needed(hardware), _matching(machine, hardware)
    if needed <= len(there):
        return None
    others = ", ".join(dict.fromkeys(each.name for each in machine.accelerators)) or "none"
    return f"needs {needed} {hardware.accelerator or 'accelerators'}; this machine has {len(there) or others}"


def _needed(hardware: Hardware) -> int:
    return max(1, hardware.accelerators) if hardware.accelerator is not None else hardware.accelerators


def _matching(machine: Machine, hardware: Hardware) -> list[Accelerator]:
    return [each for each in machine.accelerators if same_accelerator(hardware.accelerator or "", each.name)]


def placements(machine: Machine, hardware: Hardware, count: int = 1) -> tuple[Placement, ...]:
    """Place replicas side by side.

    Each gets as many cores as its hardware has CPUs, rounded up; different ones as long as there are enough, then
    from the beginning again. The first core is left to the profiler when all replicas fit on the others.

    Parameters
    ----------
    machine, hardware
        The machine, and what of it one replica gets; `reason_not_here` has no objection.
    count
        Replicas.

    Examples
    --------
    >>> small = Hardware(name="small", price_nano_usd_per_hour=0)
    >>> [each.cores for each in placements(Machine(cores=(0, 1, 2)), small, count=2)]
    [(1,), (2,)]
    """
    each = max(1, math.ceil(hardware.cpus))
    cores = machine.cores[1:] if len(machine.cores) > each * count else machine.cores
    needed, there = _needed(hardware), _matching(machine, hardware)
    return tuple(
        Placement(
            hardware=hardware,
            cores=_window(cores, i * each, each),
            accelerators=tuple(there[j % len(there)] for j in range(i * needed, (i + 1) * needed)),
        )
        for i in range(count)
    )


def _window(cores: Sequence[int], start: int, count: int) -> tuple[int, ...]:
    return tuple(sorted({cores[(start + j) % len(cores)] for j in range(count)}))


def apart(machine: Machine, placed: Sequence[Placement]) -> frozenset[int]:
    """Return the cores that no replica has been given."""
    return frozenset(machine.cores) - {core for placement in placed for core in placement.cores}


@contextmanager
def away_from(machine: Machine, placed: Sequence[Placement]) -> Iterator[None]:
    """Keep this thread, and those that it starts, off the replicas' cores meanwhile, when others are left."""
    spare = apart(machine, placed)
    if not spare or not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, spare)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def variables(placement: Placement) -> Mapping[str, str]:
    """Return the environment variables that hold a replica to its threads and accelerators."""
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), str(placement.threads)
    )
    return {
        **threads,
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # nvidia-smi counts so; CUDA itself puts the fastest first
        "CUDA_VISIBLE_DEVICES": ",".join(str(each.index) for each in placement.accelerators),
    }
