"""Ten times the planned traffic for some seconds, and what a daemon is to make of it."""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest

from inferline.errors import OutsideError
from serving_adapter.arrivals import CoreArrivals, PipelineSeen
from serving_adapter.client.admin import AdminClient
from tests.inferline.tuning.traffic import Traffic

SLO_S, ATTAINED = 0.8, 0.99
CALM_QPS, BURST_QPS = 4.0, 40.0
BEFORE_S, BURST_S = 2.0, 14.0
NEEDED = {"double": 4, "add": 1}
"""Replicas without which the queue grows for as long as the burst lasts: 12.2 queries/s at each, and 45."""

UP_S = 3.0
"""From the burst's first query to the first scale-up: the tick of 1 s in which it shows, and one more."""

SERVED_S = 9.0
"""From there to when enough replicas serve and what had piled up is gone: on an idle machine 3 s, of which a start
takes 1 s. Were it as late as this, 200 queries of the burst would be left to judge."""

DOWN_S = 40.0
"""From the burst's end to fewer replicas than it needs: what the policy holds, 15 s of the controller's calm, and
some more while the burst is a large part of the minute that the policy replays. On an idle machine 22 to 28 s."""

QUICK = ("--activation", "1s", "--settle", "2s", "--confirm-within", "15s")
FORGETFUL = ("--set", "hold_s=5")
"""The highest rate of the last 5 s counts, not of 15 s: what is tested is over sooner."""


def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Wait until something is so, and return what."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return result


class Change(NamedTuple):
    """Replicas that a daemon has asked for."""

    at_s: float
    before: int
    after: int


@dataclass
class Daemon:
    """A daemon as a process, and what it has said, with the time at which it did."""

    process: subprocess.Popen[str]
    said_at: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said_at.append((time.monotonic(), line.rstrip()))

    @property
    def lines(self) -> list[str]:
        return [line for _, line in self.said_at]

    def said(self, event: str) -> list[str]:
        return [line for line in self.lines if f" event={event}" in line]

    def await_said(self, event: str, seconds: float = 30.0) -> str:
        def there() -> str | None:
            said = self.said(event)
            if not said and self.process.poll() is not None:
                pytest.fail(f"the daemon has ended: {self.lines}")
            return said[-1] if said else None

        found: str = until(there, seconds)
        return found

    def await_ready(self) -> None:
        until(lambda: self.health("/ready").status_code == 200)

    def health(self, path: str) -> httpx.Response:
        url = re.search(r"health=(http://[^ ]*)/health", self.await_said("tuning"))
        assert url is not None
        return httpx.get(f"{url[1]}{path}", timeout=5)

    def scaled(self, stage: str) -> list[Change]:
        """Return every change of a stage."""
        found = [
            (at_s, re.search(rf" event=scale stage={stage} from=(\d+) to=(\d+)", line)) for at_s, line in self.said_at
        ]
        return [Change(at_s, int(each[1]), int(each[2])) for at_s, each in found if each is not None]

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        code = self.process.wait(20)
        self.reader.join(10)
        return code


@contextmanager
def watching(admin_url: str, pipeline: str) -> Iterator[list[tuple[float, PipelineSeen]]]:
    """Look at the core four times a second, with a connection of its own."""
    seen: list[tuple[float, PipelineSeen]] = []
    ended = threading.Event()

    def watch() -> None:
        with closing(CoreArrivals(AdminClient(admin_url), pipeline)) as core:
            while not ended.wait(0.25):
                try:
                    seen.append((time.monotonic(), core.look()))
                except OutsideError:  # a look that is late is none
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join(10)


@dataclass
class Burst:
    """A burst that is over: what was sent, what the core showed, and what the daemon has said."""

    daemon: Daemon
    sent: Traffic
    seen: list[tuple[float, PipelineSeen]]
    down_to: int

    @property
    def start_s(self) -> float:
        """When it began, on this machine's clock."""
        return self.sent.began_s + BEFORE_S

    def served_s(self) -> float:
        """Return how long after its start enough replicas served, and none but those in turn waited."""
        for at_s, seen in self.seen:
            fine = all(
                seen.stages[stage].replicas >= count and seen.stages[stage].queued <= seen.stages[stage].replicas
                for stage, count in NEEDED.items()
            )
            if at_s > self.start_s and fine:
                return at_s - self.start_s
        pytest.fail(f"never were there enough replicas\n{self.told()}")

    def check(self, *, up_s: float = UP_S) -> None:
        """Check all that is promised: up in time, in time from then on, down again, no way back, nothing lost."""
        assert self.sent.kept_up(BEFORE_S, BEFORE_S + BURST_S), f"the client had no time to send\n{self.told()}"
        double = self.daemon.scaled("double")
        assert double, self.told()
        assert double[0].after > double[0].before, self.told()
        assert 0.0 < double[0].at_s - self.start_s <= up_s, self.told()
        served_s = self.served_s()
        assert served_s <= SERVED_S, self.told()
        attained = 1.0 - self.sent.late(BEFORE_S + served_s, BEFORE_S + BURST_S, SLO_S)
        assert attained >= ATTAINED, self.told()
        assert _is_down(double, self.down_to), self.told()
        for stage in NEEDED:
            assert _turns(self.daemon.scaled(stage)) <= 1, self.told()
        # Nothing is lost: every query got the right answer, before the activation too.
        assert not np.isnan(self.sent.latency_s).any(), self.told()
        for event in ("tick_failed", "lost", "failed", "unconfirmed"):
            assert not self.daemon.said(event), self.told()

    def told(self) -> str:
        """Return the whole of it, second by second, and what the daemon has said."""
        lines = ["second late sent_late_s longest_s replicas(waiting)"]
        for second in range(int(BEFORE_S + BURST_S + 3.0)):
            here = self.sent.between(second, second + 1)
            seen = [each for at_s, each in self.seen if second <= at_s - self.sent.began_s < second + 1]
            stages = seen[-1].stages if seen else {}
            there = " ".join(f"{name} {stage.replicas}({stage.queued})" for name, stage in stages.items())
            if here.size:
                late = self.sent.late(second, second + 1, SLO_S)
                lag_s, longest_s = self.sent.lag_s[here].max(), self.sent.latency_s[here].max()
                lines.append(f"{second:6} {late:4.2f} {lag_s:11.3f} {longest_s:9.2f} {there}")
        said = [f"{at_s - self.sent.began_s:6.2f} {line}" for at_s, line in self.daemon.said_at if "event=" in line]
        return "\n".join([*lines, *said])


def burst(
    url: str,
    admin_url: str,
    daemon: Daemon,
    during: Callable[[Traffic], None] | None = None,
    *,
    pipeline: str = "numbers",
    down_to: int = NEEDED["double"] - 1,
) -> Burst:
    """Send a burst, and wait until the daemon has gone down to so many replicas.

    ``during`` is called at its beginning, on this thread.
    """
    with (
        watching(admin_url, pipeline) as seen,
        Traffic(url, 7, (BEFORE_S, CALM_QPS), (BURST_S, BURST_QPS), (DOWN_S + 10.0, CALM_QPS)) as sent,
    ):
        if during is not None:
            during(sent)
        while sent.time_s < BEFORE_S + BURST_S + DOWN_S:
            if sent.time_s > BEFORE_S + BURST_S and _is_down(daemon.scaled("double"), down_to):
                break
            time.sleep(0.05)
        sent.stop()
    return Burst(daemon, sent, seen, down_to)


def _is_down(changes: list[Change], down_to: int) -> bool:
    return bool(changes) and changes[-1].after < changes[-1].before and changes[-1].after <= down_to


def _turns(changes: list[Change]) -> int:
    """Return how often a stage's changes change their direction."""
    ups = [each.after > each.before for each in changes]
    return sum(one != other for one, other in pairwise(ups))


def ended(daemons: list[Daemon]) -> None:
    """Kill those that run, and close what they said."""
    for daemon in daemons:
        if daemon.process.poll() is None:
            daemon.end(signal.SIGKILL)
        assert daemon.process.stderr is not None
        daemon.process.stderr.close()
