"""One process's share of a run: an event loop, its traffic, and what came of it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable

import numpy as np

from inferline.units import NANO
from serving_adapter.load.closed_loop import EachConnection
from serving_adapter.load.open_loop import OpenLoop
from serving_adapter.load.progress import Observe, Progress, recent_p99_s
from serving_adapter.load.records import QueryLog
from serving_adapter.load.share import Part, Share

__all__ = ["measure"]

_SWEEP_S = 0.02
_OBSERVE_NS = NANO // 2
_GRACE_NS = NANO
"""After an interrupt, how long replies are waited for."""

_FIRST_ROOM = 4096


def measure(share: Share, begin: Callable[[], int], stops: Callable[[], int], observe: Observe | None) -> Part:
    """Send a share, on this thread.

    Parameters
    ----------
    share
        What to send.
    begin
        Returns the start, an instant of `time.monotonic_ns`; called when all is ready, and may wait.
    stops
        Returns how often somebody has asked for the end: once ends the sending, twice the waiting for replies.
    observe
        Told how it goes, twice a second.

    Raises
    ------
    Exception
        Whatever the check raises.
    """
    # What is alive now stays so: the collector need not look through it while queries are due.
    gc.collect()
    gc.freeze()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_Run(share, stops, observe).measured(begin))
    finally:
        gc.unfreeze()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop  # noqa: PLC0415 - optional: two to three times as fast
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


class _Run:
    """A share on its way."""

    def __init__(self, share: Share, stops: Callable[[], int], observe: Observe | None) -> None:
        self._share = share
        self._stops = stops
        self._observe = observe
        self._stopped_ns: int | None = None
        self._failures: list[BaseException] = []

    async def measured(self, begin: Callable[[], int]) -> Part:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_failure)
        share = self._share
        if share.closed_ns:
            self._log = QueryLog(np.zeros(_FIRST_ROOM, np.int64))
            self._traffic: EachConnection | OpenLoop = EachConnection(loop, share.wires, self._log, share.closed_ns)
        else:
            self._log = QueryLog(share.intended_ns)
            self._traffic = OpenLoop(loop, share.wires, self._log)
        start_ns = begin()
        cpu_s = time.process_time()
        self._traffic.begin(start_ns)
        await self._until_finished()
        cpu_s = time.process_time() - cpu_s
        self._traffic.stop()
        self._traffic.close()
        await asyncio.sleep(0)  # connections end in the loop's next turn
        if self._failures:
            raise self._failures[0]
        return self._part(cpu_s)

    async def _until_finished(self) -> None:
        traffic, exchange = self._traffic, self._traffic.exchange
        period_s = min(_SWEEP_S, max(self._share.wires.timeout_ns / NANO / 5, 0.001))
        next_told_ns = _OBSERVE_NS
        while not traffic.finished and not self._failures:
            await asyncio.sleep(period_s)
            now_ns = exchange.now_ns()
            traffic.sweep(now_ns)
            if self._enough(now_ns):
                return
            if self._observe is not None and now_ns >= next_told_ns:
                next_told_ns = now_ns + _OBSERVE_NS
                self._observe(
                    Progress(
                        sent=traffic.sent,
                        waiting=traffic.waiting,
                        in_flight=exchange.in_flight,
                        elapsed_s=now_ns / NANO,
                        p99_s=recent_p99_s(self._log.records, traffic.sent),
                    )
                )

    def _enough(self, now_ns: int) -> bool:
        """Stop when somebody asks for it; return whether the replies need not be waited for any longer."""
        stops = self._stops()
        if stops and self._stopped_ns is None:
            self._stopped_ns = max(0, now_ns)
            self._traffic.stop()
        return stops > 1 or (self._stopped_ns is not None and now_ns > self._stopped_ns + _GRACE_NS)

    def _on_failure(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:  # noqa: ARG002
        error = context.get("exception")
        self._failures.append(
            error if isinstance(error, BaseException) else RuntimeError(str(context.get("message")))
        )

    def _part(self, cpu_s: float) -> Part:
        traffic, exchange = self._traffic, self._traffic.exchange
        records = self._log.records
        if self._share.closed_ns:
            records = records.taken(slice(0, traffic.sent))
        return Part(
            records=records,
            opened=exchange.opened,
            most_open=exchange.most_open,
            closed_by_server=exchange.closed_by_server,
            resent=exchange.resent,
            crowded=traffic.crowded,
            excerpt=exchange.excerpt,
            cpu_s=cpu_s,
            wall_s=exchange.now_ns() / NANO,
            stopped_ns=self._stopped_ns,
        )
