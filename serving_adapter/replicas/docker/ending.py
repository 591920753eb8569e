"""Ending containers gently: each is told, given time, and removed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from threading import Lock, Thread

from inferline.errors import OutsideError
from serving_adapter.replicas.docker.connection import Connection
from serving_adapter.replicas.docker.labels import stopping_name
from serving_adapter.replicas.docker.seen import Seen

__all__ = ["Ending"]

_log = logging.getLogger(__name__)


class Ending:
    """What ends containers, in threads that the end of the process waits for.

    The name of a container that has been told to end says so. If nobody is there to remove it any more, whoever asks
    for the set, or stops the deployment, does it then.

    Parameters
    ----------
    connection
        The engine.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = Lock()
        self._ids: set[str] = set()
        self._threads: list[Thread] = []

    def end(self, *waves: tuple[Sequence[Seen], float]) -> None:
        """Mark containers as ending, and see to it.

        Parameters
        ----------
        waves
            Containers that are told to end at the same time, each wave when the one before is gone; and how many
            seconds they may take before they are killed. Those that are ending already are left out.

        Raises
        ------
        OutsideError
            When the engine cannot be reached or refuses.
        """
        with self._lock:
            due = [([each for each in wave if each.id not in self._ids], grace_s) for wave, grace_s in waves]
            self._ids.update(each.id for wave, _ in due for each in wave)
        try:
            for wave, _ in due:
                for each in wave:
                    if not each.stopping:
                        self._connection.rename(each.id, stopping_name(each.name, each.id))
        except OutsideError:
            self._forget(each for wave, _ in due for each in wave)
            raise
        self._threads = [each for each in self._threads if each.is_alive()]
        before: list[Thread] = []
        for wave, grace_s in due:
            these = [Thread(target=self._finish, args=(each, grace_s, tuple(before))) for each in wave]
            for thread in these:
                thread.start()
            before += these
        self._threads += before

    def join(self) -> None:
        """Wait until all that has been told to end is gone."""
        for each in self._threads:
            each.join()

    def _finish(self, seen: Seen, grace_s: float, before: tuple[Thread, ...]) -> None:
        for each in before:
            each.join()
        try:
            self._connection.stop(seen.id, grace_s)
            self._connection.remove(seen.id)
        except OutsideError as error:
            _log.warning("event=not_ended container=%s message=%r", seen.name, str(error))
        finally:
            self._forget([seen])

    def _forget(self, those: Iterable[Seen]) -> None:
        with self._lock:
            self._ids.difference_update(each.id for each in those)
