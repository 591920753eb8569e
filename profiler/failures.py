"""How a measured replica can fail, in one sentence each. Pure."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inferline.errors import Fault, InputError, OutsideError

__all__ = ["MemoryExhausted", "Place", "ended_failure", "reported_failure"]


class MemoryExhausted(OutsideError):  # noqa: N818 - says what happened, as KeyboardInterrupt does
    """A replica ran out of memory, on the host or on its accelerator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What was running; ``batch_size`` 0 stands for loading."""

    model: str
    hardware: str
    batch_size: int = 0

    def failure(self, what: str) -> OutsideError:
        """Return the error that says what happened here."""
        return OutsideError(f"{self} {what}")

    def __str__(self) -> str:
        when = f"at batch size {self.batch_size}" if self.batch_size else "while loading"
        return f"model {self.model!r} on {self.hardware!r} failed {when}:"


def reported_failure(place: Place, report: Mapping[str, Any]) -> InputError | OutsideError:
    """Return the error that a replica's process reported before it ended.

    Parameters
    ----------
    place
        What was running.
    report
        ``kind`` is ``input`` (with ``faults``: file, where, message each), ``memory`` or ``outside``; the last two
        have a ``message``.
    """
    if report["kind"] == "input":
        return InputError(*(Fault(each["file"], each["where"], each["message"]) for each in report["faults"]))
    if report["kind"] == "memory":
        return MemoryExhausted(f"{place} memory ran out: {report['message']}")
    return place.failure(report["message"])


def ended_failure(place: Place, exit_code: int, last_words: str) -> OutsideError:
    """Return the error of a replica whose process has ended without a report.

    Parameters
    ----------
    place
        What was running.
    exit_code
        Negative for a signal, as `subprocess` has it.
    last_words
        The end of what it wrote; may be empty.
    """
    said = f"; it last wrote: {last_words}" if last_words else ""
    if exit_code == -signal.SIGKILL:
        return MemoryExhausted(f"{place} its process was killed, which is what happens when memory runs out{said}")
    if exit_code < 0:
        return place.failure(f"its process was ended by {_signal_name(-exit_code)}{said}")
    return place.failure(f"its process ended with exit code {exit_code}{said}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
