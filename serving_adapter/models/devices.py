"""Which device an entry means."""

from __future__ import annotations

import re

from serving_adapter.models.entry import ModelEntry

__all__ = ["is_memory_error", "pick_device"]

_OUT_OF_MEMORY = re.compile(r"out of memory|allocate memory|not enough memory|bad.?alloc|ALLOC_FAILED", re.IGNORECASE)


def pick_device(entry: ModelEntry, count: int, lacking: str) -> int | None:
    """Return the number of the CUDA device to run on; None for the CPU.

    Parameters
    ----------
    entry
        Its device is ``auto`` (the first CUDA device, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``.
    count
        CUDA devices that can be used.
    lacking
        Why there is none, for the message.

    Raises
    ------
    InputError
        When the device is none of these, or is not there.
    """
    if entry.device == "cpu" or (entry.device == "auto" and not count):
        return None
    match = re.fullmatch(r"auto|cuda(?::([0-9]{1,4}))?", entry.device)
    if match is None:
        raise entry.fault("device", f"{entry.device!r} is no device; write auto, cpu, cuda or cuda:1")
    if not count:
        raise entry.fault("device", f"no {entry.device} here: {lacking}; auto takes the CPU then")
    number = int(match[1] or 0)
    if number >= count:
        raise entry.fault("device", f"no {entry.device} here: there are {count} CUDA devices, from cuda:0")
    return number


def is_memory_error(error: Exception) -> bool:
    """Return whether a library means that memory has run out, on the host or on a device.

    PyTorch and ONNX Runtime have no common error for it; on the host both raise a general one that says so.

    Examples
    --------
    >>> is_memory_error(RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"))
    True
    """
    return isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)) is not None
