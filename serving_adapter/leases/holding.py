"""Holding a lease while something is done; whoever comes second is told who came first."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from time import monotonic, monotonic_ns, sleep
from typing import Protocol

from inferline.errors import OutsideError

__all__ = ["Lease", "holding"]

_RENEW_S = 2.0
_LOOK_S = 0.5
_PATIENCE_S = 30.0
"""How long it is looked whether the holder of a lease still lives; longer than such a lease lasts."""

_END_S = 5.0

_log = logging.getLogger(__name__)


class Lease(Protocol):
    """What can be held: a lock on a file, an object of Kubernetes."""

    def hold(self) -> int | None:
        """Take it or renew it; return until when it is ours, monotonic nanoseconds. None: it is another's."""
        ...

    def holder(self) -> str:
        """Return who has it; nothing while it is not known whether they still live."""
        ...

    def release(self) -> None:
        """Give it back, if it is ours."""


@contextmanager
def holding(lease: Lease, what: str) -> Iterator[Callable[[], None]]:
    """Hold a lease while the block runs; it is renewed every two seconds, and given back in the end.

    Parameters
    ----------
    lease
        The lease.
    what
        What it is for, in messages.

    Yields
    ------
        A function that raises OutsideError when the lease is no longer ours: to be called before every change.

    Raises
    ------
    OutsideError
        When somebody else has it, with their words; or it cannot be asked for. Who has a lease that ends by itself
        is looked at until they renew it, or it ends.
    """
    try:
        held = _Held(lease, what, _taken(lease, what))
        renewing = Thread(target=held.renew, daemon=True)
        renewing.start()
        try:
            yield held.check
        finally:
            held.ended.set()
            renewing.join(_END_S)
    finally:
        with suppress(OutsideError):  # it ends by itself
            lease.release()


def _taken(lease: Lease, what: str) -> int:
    """Take a lease; return until when it is ours."""
    until_s = monotonic() + _PATIENCE_S
    while (until_ns := lease.hold()) is None:
        if (who := lease.holder()) or monotonic() >= until_s:
            raise OutsideError(
                f"{what} is being changed by {who or 'somebody who does not say who'}; nothing was done. Wait until "
                "that has ended, or end it, and say the same command again"
            )
        sleep(_LOOK_S)
    return until_ns


class _Held:
    """A lease that is ours, until it is not."""

    def __init__(self, lease: Lease, what: str, until_ns: int) -> None:
        self.ended = Event()
        self._lease = lease
        self._what = what
        self._until_ns = until_ns

    def renew(self) -> None:
        """Renew it again and again."""
        while not self.ended.wait(_RENEW_S):
            try:
                until_ns = self._lease.hold()
            except OutsideError as error:
                _log.warning("event=not_renewed message=%r", str(error))
                continue
            self._until_ns = until_ns or 0
            if until_ns is None:
                return

    def check(self) -> None:
        """Raise OutsideError when it is no longer ours."""
        if monotonic_ns() >= self._until_ns:
            who = self._lease.holder() or "somebody else"
            raise OutsideError(
                f"{self._what} may be changed by {who} by now: this process could not keep its lease, having been "
                "suspended or cut off; it changes nothing more. inferline status says what runs"
            )
