"""The process that keeps a deployment running: ``python -m serving_adapter.replicas.local.supervisor FOLDER``.

There is one for each deployment, started by whoever asks for something and nobody listens (`LocalTarget`). It ends
when its deployment is stopped. On SIGTERM it ends what it runs, each after its batch, and keeps in mind what was
wanted; when it is killed, what it runs dies with it. Either way the next one takes it up.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from inferline.errors import InferlineError, OutsideError
from serving_adapter.machine import this_machine
from serving_adapter.replicas.local.control import listen
from serving_adapter.replicas.local.folders import CONTROL, LOCK, make_folder
from serving_adapter.replicas.local.messages import LISTENS, TAKEN, Reply, Request
from serving_adapter.replicas.local.processes import end_leftovers
from serving_adapter.replicas.local.supervision import Supervision

__all__ = ["main"]

_OUTSIDE = 4
_FIRST_S = 1.0
"""Whoever has started it has something to say, which may be that all is to be stopped: nothing is started before."""

_RECOVER_S = 1.0

_log = logging.getLogger(__name__)


def main() -> NoReturn:
    """Run the process; arguments are the folder, and a descriptor to report to."""
    logging.basicConfig(
        level=logging.INFO,
        format="time=%(asctime)s level=%(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )
    folder, *reports = sys.argv[1:]
    tell = _teller(int(reports[0])) if reports else _tell_nobody
    try:
        _run(Path(folder).absolute(), tell)
    except InferlineError as error:
        _log.error("event=refused code=%d message=%s", _OUTSIDE, error)
        tell(str(error))
        sys.exit(_OUTSIDE)
    sys.exit(0)


def _teller(descriptor: int) -> Callable[[str], None]:
    os.set_inheritable(descriptor, False)
    report = open(descriptor, "wb")  # noqa: SIM115 - closed by the first word, or with this process

    def tell(word: str) -> None:
        if not report.closed:
            with suppress(OSError), report:  # whoever asked may have gone
                report.write(word.encode(errors="replace"))

    return tell


def _tell_nobody(word: str) -> None:
    """Have nobody to tell."""


def _run(folder: Path, tell: Callable[[str], None]) -> None:
    make_folder(folder)
    with (folder / LOCK).open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutsideError(TAKEN) from None
        # The path of a Unix socket is short (unix(7)), and that of a folder may be long: this one is without folder.
        os.chdir(folder)
        ended = end_leftovers(folder)
        if ended:
            _log.warning("event=leftovers_ended count=%d", ended)
        asyncio.run(_supervise(Supervision(folder, this_machine()), tell))
        end_leftovers(folder)  # what replicas have started apart from themselves


async def _supervise(supervision: Supervision, tell: Callable[[str], None]) -> None:
    loop, wake = asyncio.get_running_loop(), asyncio.Event()

    def leave() -> None:
        supervision.leave()
        wake.set()

    def answer(request: Request) -> Reply:
        wake.set()
        return supervision.answer(request)

    loop.add_signal_handler(signal.SIGCHLD, wake.set)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave)
    server = await listen(CONTROL, answer)
    _log.info("event=listening pid=%d", os.getpid())
    tell(LISTENS)
    await _pause(wake, _FIRST_S)
    while not supervision.is_over():
        await _pause(wake, _tick(supervision))
    # Nothing is awaited from here on: who asks now finds nobody, and starts the next one.
    server.close()
    Path(CONTROL).unlink(missing_ok=True)
    _log.info("event=ended")


async def _pause(wake: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wake.wait()
    wake.clear()


def _tick(supervision: Supervision) -> float:
    try:
        return supervision.tick()
    except Exception:  # a full disk, for instance: what runs must not die of it
        _log.exception("event=look_failed")
        return _RECOVER_S


if __name__ == "__main__":
    main()
