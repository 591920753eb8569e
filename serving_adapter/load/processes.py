"""A run in this process, or in several that start together."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from inferline.errors import OutsideError
from inferline.units import NANO
from serving_adapter.load.measuring import measure
from serving_adapter.load.progress import Observe, Progress, together
from serving_adapter.load.share import Part, Share

__all__ = ["measure_apart", "measure_here"]

_LEAD_NS = NANO // 20
"""From the word to the start: long enough for every process to hear it."""

_READY_S = 60.0


def measure_here(share: Share, observe: Observe | None = None) -> Part:
    """Send a share from this process; ctrl-C ends the sending, a second one the waiting for replies."""
    interrupts: list[int] = []
    with _on_interrupt(lambda number, _: interrupts.append(number)):
        return measure(share, lambda: time.monotonic_ns() + _LEAD_NS, lambda: len(interrupts), observe)


def measure_apart(shares: Sequence[Share], observe: Observe | None = None) -> list[Part]:
    """Send shares from as many new processes; their clock is one and the same, and so is their start.

    Ctrl-C ends the sending, a second one the waiting for replies.

    Raises
    ------
    OutsideError
        When a process ends early.
    Exception
        Whatever the check raises in one of them.
    """
    context = multiprocessing.get_context("spawn")
    channels: list[Connection] = []
    started: list[SpawnProcess] = []
    try:
        # Ctrl-C reaches the whole group; the new processes inherit that it is ignored, and leave it to this one.
        with _on_interrupt(signal.SIG_IGN):
            for share in shares:
                ours, theirs = context.Pipe()
                process = context.Process(target=_apart, args=(share, theirs, observe is not None), daemon=True)
                process.start()
                theirs.close()
                channels.append(ours)
                started.append(process)
        for channel in channels:
            _ready(channel)
        _tell_all(channels, time.monotonic_ns() + _LEAD_NS)
        # Passed on, not raised: an exception might cut off what is just being received.
        with _on_interrupt(lambda *_: _tell_all(channels, None)):
            return _parts(channels, observe)
    finally:
        for channel in channels:
            channel.close()
        for process in started:
            process.join(timeout=5)
            process.kill()


@contextmanager
def _on_interrupt(handler: signal.Handlers | Callable[[int, object], None]) -> Iterator[None]:
    """Have ctrl-C do that while the context lasts, where this thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _ready(channel: Connection) -> None:
    if not channel.poll(_READY_S):
        raise OutsideError(f"a process of the load generator is not ready after {_READY_S:.0f} s; take fewer of them")
    _received(channel)


def _received(channel: Connection) -> object:
    try:
        word = channel.recv()
    except EOFError as error:
        raise OutsideError("a process of the load generator ended early; its last words are above") from error
    if isinstance(word, Exception):
        raise word
    return word


def _tell_all(channels: Sequence[Connection], word: int | None) -> None:
    for channel in channels:
        with suppress(OSError):  # one that has ended needs to hear nothing
            channel.send(word)


def _parts(channels: Sequence[Connection], observe: Observe | None) -> list[Part]:
    parts: dict[int, Part] = {}
    progress: dict[int, Progress] = {}
    while len(parts) < len(channels):
        ready = wait([channel for place, channel in enumerate(channels) if place not in parts])
        for place, channel in enumerate(channels):
            if channel in ready:
                word = _received(channel)
                if isinstance(word, Part):
                    parts[place] = word
                elif isinstance(word, Progress):
                    progress[place] = word
        if observe is not None and progress:
            observe(together(list(progress.values())))
    return [parts[place] for place in range(len(channels))]


def _apart(share: Share, channel: Connection, observed: bool) -> None:
    """Be one of the new processes: say that it is ready, hear the start, send, hand back what came of it."""

    def begin() -> int:
        channel.send(None)
        start_ns: int = channel.recv()
        return start_ns

    words = 0

    def stops() -> int:
        nonlocal words
        while channel.poll():
            channel.recv()
            words += 1
        return words

    try:
        channel.send(measure(share, begin, stops, channel.send if observed else None))
    except (EOFError, BrokenPipeError):
        pass  # the first process has ended
    except Exception as error:
        channel.send(error)
