"""An alarm that rings at an instant, to some tens of microseconds.

Timers of event loops are coarse: both uvloop and asyncio on Linux wait in whole milliseconds, which alone would put
the median send error at 0.5 ms. A Linux timer file descriptor (timerfd_create(2)) wakes the loop at the nanosecond
that it is told, as far as the scheduler follows.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable

from inferline.units import NANO

__all__ = ["Alarm"]

_CLOCK_MONOTONIC = 1
_ABSOLUTE_TIME = 1


class _Setting(ctypes.Structure):
    """``struct itimerspec``: interval (none, here) and instant, each in seconds and nanoseconds."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("instant_s", ctypes.c_long),
        ("instant_ns", ctypes.c_long),
    )


class Alarm:
    """Calls back from an event loop at instants of the monotonic clock.

    Where there are no timer file descriptors, the loop's own coarse timers are used.

    Parameters
    ----------
    loop
        The loop that calls back.
    ring
        What is called. It sets the alarm anew or stops it: until then the alarm goes on ringing, between the loop's
        other events.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._setting = _Setting()
        self._descriptor = -1
        if sys.platform == "linux":
            system = ctypes.CDLL(None, use_errno=True)
            self._settime = system.timerfd_settime
            self._settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.POINTER(_Setting), ctypes.c_void_p)
            self._descriptor = system.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor >= 0:
            loop.add_reader(self._descriptor, ring)

    def set(self, instant_ns: int) -> None:
        """Ring once at that instant of `time.monotonic_ns`, or at once when it is past; forget the one before."""
        if self._descriptor < 0:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_at(instant_ns / NANO, self._ring)
            return
        # Setting it clears what has expired, so that nothing needs to be read.
        self._setting.instant_s, self._setting.instant_ns = divmod(instant_ns, NANO)
        self._settime(self._descriptor, _ABSOLUTE_TIME, self._setting, None)

    def stop(self) -> None:
        """Never ring again."""
        if self._timer is not None:
            self._timer.cancel()
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
