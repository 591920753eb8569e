"""Where a row was measured: a record of machine, software and placement, and its id.

It names no host, user or path, so that it can be published beside the profile.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from serving_adapter.machine import Machine, Placement, apart

__all__ = ["environment_id", "environment_of"]

_PACKAGES = ("inferline", "numpy", "onnxruntime", "onnxruntime-gpu", "torch", "scikit-learn")
_MOMENTARY = frozenset({"id", "start", "replica"})


def environment_of(machine: Machine, placement: Placement) -> dict[str, Any]:
    """Return the record of what is measured on this machine from now on.

    Returns
    -------
    dict
        ``id``; ``machine`` and ``software``; ``placement`` (CPUs, cores, threads, accelerators, whether the profiler
        keeps off the replica's cores); ``start`` (UTC time, load average, numbers of the cores): what of it differs
        from one run to the next. The same machine, software and placement always have the same id.
    """
    record = {
        "machine": _machine(machine, placement),
        "software": {"python": platform.python_version(), **_packages()},
        "placement": {
            "cpus": placement.hardware.cpus,
            "cores": len(placement.cores),
            "threads": placement.threads,
            "accelerators": [each.name for each in placement.accelerators],
            "profiler_apart": bool(apart(machine, [placement])),
        },
    }
    start = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "cores": list(placement.cores),
    }
    return {"id": environment_id(record), **record, "start": start}


def environment_id(record: Mapping[str, Any]) -> str:
    """Return the id of a record: ``env-`` and ten hexadecimal digits over what of it does not change by itself.

    Examples
    --------
    >>> environment_id({"machine": {"cpu": "x"}}) == environment_id({"machine": {"cpu": "x"}, "start": {"at": "now"}})
    True
    """
    stable = {key: value for key, value in record.items() if key not in _MOMENTARY}
    text = json.dumps(stable, sort_keys=True, separators=(",", ":"))
    return f"env-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _machine(machine: Machine, placement: Placement) -> dict[str, Any]:
    governor = f"/sys/devices/system/cpu/cpu{placement.cores[0]}/cpufreq/scaling_governor"
    memory = re.search(r"MemTotal:\s*([0-9]+) kB", _text("/proc/meminfo"))
    return {
        "cpu": machine.name,
        "logical_cores": os.cpu_count() or 0,
        "usable_cores": len(machine.cores),
        # Whole GiB: the kernel keeps a little more or less for itself from one version to the next.
        "memory_gib": 0 if memory is None else round(int(memory[1]) / 2**20),
        "accelerators": [
            {"name": each.name, "memory_bytes": each.memory_bytes, "driver": each.driver}
            for each in machine.accelerators
        ],
        "kernel": f"{platform.system()} {platform.release()}",
        "virtualised": bool(re.search(r"^flags\b.*\bhypervisor\b", _text("/proc/cpuinfo"), re.MULTILINE)),
        "clock_source": _text("/sys/devices/system/clocksource/clocksource0/current_clocksource") or "unknown",
        "governor": _text(governor) or "unknown",
    }


def _packages() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _text(path: str) -> str:
    """Return what a file of the system says; nothing where there is none."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
