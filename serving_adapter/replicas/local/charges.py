"""One replica, or the serving core, with the process that it has just now."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from time import time

from serving_adapter.machine import Placement
from serving_adapter.replicas.local.decisions import Life, ended, started_again
from serving_adapter.replicas.local.launches import Launch
from serving_adapter.replicas.local.processes import Process
from serving_adapter.replicas.protocol import Replica

__all__ = ["Charge"]

FOREIGN_READY_S = 2.0
"""A foreign container that says nothing of being ready is taken for it when it has lived for so long."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Charge:
    """What a supervisor looks after.

    Parameters
    ----------
    life
        How it has fared.
    launch
        How it is started.
    placement
        Where it runs; None for the serving core, which runs anywhere.
    process
        Its process; None while it has none.
    since_s
        Seconds since the epoch when it was started last.
    reason
        Why its last process ended by itself, until the next one can serve.
    """

    life: Life
    launch: Launch
    placement: Placement | None = None
    process: Process | None = None
    since_s: float = 0.0
    reason: str = ""

    def start(self, now_s: float) -> None:
        """Start its process; one that cannot be started has failed."""
        self.since_s = time()
        try:
            self.process = Process(self.launch)
        except (OSError, ValueError) as error:
            self._end(f"cannot be started: {error}", now_s)

    def start_again(self, now_s: float) -> None:
        """Start its next process."""
        self.life = started_again(self.life, now_s)
        self.start(now_s)

    def stop(self, now_s: float) -> None:
        """Ask its process to end."""
        self.life = replace(self.life, asked_s=now_s)
        if self.process is not None:
            self.process.terminate()

    def kill(self) -> None:
        """End its process by force."""
        self.life = replace(self.life, killed=True)
        if self.process is not None:
            self.process.kill()

    def observe(self, now_s: float) -> bool:
        """Look at its process; return whether there is anything left to look after."""
        if self.process is None:
            return self.life.asked_s is None
        code = self.process.exit_code()
        if code is None:
            self._look_ready(now_s)
            return True
        if self.life.asked_s is not None:
            _log.info("event=stopped id=%s code=%d", self.life.id, code)
            return False
        self._end(self.process.end_reason(), now_s)
        return True

    def shown(self, now_s: float, remark: str) -> Replica:
        """Return what is told of it; `remark` stands beside why it is as it is."""
        said = remark
        if self.life.phase == "failed":
            left_s = max(0.0, self.life.due_s - now_s)
            said = f"{self.reason}; it starts again in {left_s:.1f} s{remark and '; '}{remark}"
        elif self.reason:
            said = f"before, it {self.reason}{remark and '; '}{remark}"
        elif self.life.phase == "ready" and not self.launch.says_ready and not self._shows_ready():
            said = f"it lives, but says nothing of being ready{remark and '; '}{remark}"
        return Replica(
            id=self.life.id,
            key=self.life.key,
            phase=self.life.phase,
            restarts=self.life.restarts,
            since_s=self.since_s,
            message=said,
        )

    def _look_ready(self, now_s: float) -> None:
        ready = self._shows_ready()
        if not ready and not self.launch.says_ready:
            ready = now_s - self.life.started_s >= FOREIGN_READY_S
        if ready and not self.life.ready:
            self.reason = ""
            _log.info("event=ready id=%s after_s=%.3f", self.life.id, now_s - self.life.started_s)
        if ready != self.life.ready:
            self.life = replace(self.life, ready=ready)

    def _shows_ready(self) -> bool:
        return self.process is not None and self.process.shows_ready()

    def _end(self, reason: str, now_s: float) -> None:
        self.process = None
        self.reason = reason
        self.life = ended(self.life, now_s)
        _log.warning("event=ended id=%s failures=%d reason=%s", self.life.id, self.life.failures, reason)
