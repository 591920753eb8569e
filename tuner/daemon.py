"""The loop around the controller: a clock, calls to the outside, and an end when it is told to.

Nothing that it does on its way out changes the pipeline: replicas go on as they were asked for last.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from threading import Event
from time import monotonic_ns

from inferline.units import NANO
from tuner.control import Change, Outcome, Record, Rules, Seen, State
from tuner.controller import first_state, tick
from tuner.health import Health
from tuner.outside import Outside
from tuner.protocols import Arrivals, ArrivalsSeen, Lease, Replicas
from tuner.situation import Policy, Situation

__all__ = ["Daemon", "Parts", "record_words"]

_log = logging.getLogger(__name__)

_LEASE_LIMIT_S = 5.0
_WAIT_SHARE = 0.5
"""Of a tick, what is waited for looks; what comes later counts at the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a daemon is made of.

    Parameters
    ----------
    situation, policy, rules
        As for `tuner.controller.tick`.
    arrivals, replicas, lease
        The outside; without a lease it always leads.
    health
        Told of every tick.
    limit_s
        How long a call to the outside may take.
    watch
        Called with what was seen and what came of it, at every tick.
    """

    situation: Situation
    policy: Policy
    rules: Rules
    arrivals: Arrivals
    replicas: Replicas
    health: Health
    lease: Lease | None = None
    limit_s: float = 10.0
    watch: Callable[[Seen, Outcome], None] = lambda seen, outcome: None  # noqa: ARG005


class Daemon:
    """An autoscaler that runs until it is stopped."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._stop = Event()
        self._state: State = first_state(parts.situation)
        self._arrivals: Outside[ArrivalsSeen] = Outside("reading arrivals", parts.limit_s)
        self._requested: Outside[Mapping[str, int]] = Outside("reading what is asked for", parts.limit_s)
        self._lease: Outside[int | None] = Outside("renewing the lease", _LEASE_LIMIT_S)
        self._asks: dict[str, Outside[None]] = {
            stage.name: Outside(f"asking for replicas of stage {stage.name!r}", parts.limit_s, 1)
            for stage in parts.situation.pipeline.stages
        }
        self._seen: ArrivalsSeen | None = None
        self._seen_ns = 0
        self._lost = ""
        self._until_ns: int | None = None
        self._lease_said = ""
        self._declined: dict[str, str] = {}

    def stop(self) -> None:
        """Have it end after the tick in hand; safe to call from a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Tick until `stop`."""
        tick_ns = self._parts.rules.tick_ns
        due_ns = monotonic_ns()
        while not self._stop.is_set():
            try:
                self._tick()
            except Exception:  # a policy that fails: nothing is changed, and the next tick may do better
                _log.exception("event=tick_failed")
            due_ns = max(due_ns + tick_ns, monotonic_ns())
            self._stop.wait((due_ns - monotonic_ns()) / NANO)
        if self._parts.lease is not None:
            release: Outside[None] = Outside("giving the lease back", _LEASE_LIMIT_S)
            release.ask(self._parts.lease.release)
            release.answer(_LEASE_LIMIT_S)

    def _tick(self) -> None:
        parts = self._parts
        seen = self._look()
        begun_ns = monotonic_ns()
        outcome = tick(parts.situation, parts.policy, parts.rules, seen, self._state)
        took_ns = monotonic_ns() - begun_ns
        self._state = outcome.state
        for change in outcome.changes:
            self._ask(change)
        for record in outcome.records:
            _log.log(_LEVELS.get(record.event, logging.INFO), "%s", record_words(record))
        parts.health.note(seen, outcome.state, outcome.records, took_ns)
        parts.watch(seen, outcome)

    # The outside

    def _look(self) -> Seen:
        parts = self._parts
        if not self._arrivals.is_busy and not self._arrivals.ask(parts.arrivals.look):
            self._lost = "too many looks hang"
        self._requested.ask(parts.replicas.requested)
        if parts.lease is not None:
            self._lease.ask(parts.lease.hold)
        until_ns = monotonic_ns() + round(parts.rules.tick_ns * _WAIT_SHARE)
        answer = self._requested.answer(_left_s(until_ns))
        requested = None if answer is None else answer.value
        unreachable = "" if answer is None else answer.failure
        self._hear_arrivals(_left_s(until_ns))
        self._hear_lease(_left_s(until_ns))
        refused = dict(self._refusals())
        return Seen(
            now_ns=monotonic_ns(),
            arrivals=self._seen,
            arrivals_ns=self._seen_ns,
            lost=self._lost,
            requested=requested,
            unreachable=unreachable,
            refused=refused,
            leading=self._leads(0.0),
        )

    def _hear_arrivals(self, wait_s: float) -> None:
        answer = self._arrivals.answer(wait_s)
        if answer is None:
            return
        self._lost = answer.failure
        if answer.value is not None:
            self._seen, self._seen_ns = answer.value, answer.ended_ns - answer.value.age_ns

    def _hear_lease(self, wait_s: float) -> None:
        answer = self._lease.answer(wait_s)
        if answer is None:
            return
        if answer.failure and answer.failure != self._lease_said:
            _log.warning("event=lease_failed message=%s", answer.failure)
        self._lease_said = answer.failure
        if not answer.failure:
            self._until_ns = answer.value

    def _leads(self, margin_s: float) -> bool:
        """Whether the lease is ours for so long."""
        if self._parts.lease is None:
            return True
        return self._until_ns is not None and monotonic_ns() + round(margin_s * NANO) < self._until_ns

    def _ask(self, change: Change) -> None:
        parts = self._parts

        def ask() -> None:
            if self._leads(0.0):  # the thread may have begun late
                parts.replicas.ask(change.stage, change.after)

        if not self._asks[change.stage].ask(ask):
            self._declined[change.stage] = "an earlier call has not returned"

    def _refusals(self) -> Iterator[tuple[str, str]]:
        """Yield stages whose change could not be asked for, and why."""
        yield from self._declined.items()
        self._declined.clear()
        for name, outside in self._asks.items():
            answer = outside.answer()
            if answer is not None and answer.failure:
                yield name, answer.failure


def _left_s(until_ns: int) -> float:
    return max(0.0, (until_ns - monotonic_ns()) / NANO)


_LEVELS = {
    "failed": logging.WARNING,
    "unconfirmed": logging.WARNING,
    "lost": logging.WARNING,
    "unreachable": logging.WARNING,
    "jumped": logging.WARNING,
    "restarted": logging.WARNING,
    "limited": logging.WARNING,
}


def record_words(record: Record) -> str:
    """Return a record as keys and values.

    Examples
    --------
    >>> record_words(Record(event="scale", stage="read", before=2, after=3))
    'event=scale stage=read from=2 to=3'
    """
    words = [f"event={record.event}"]
    if record.stage:
        words.append(f"stage={record.stage}")
    if record.before is not None:
        words.append(f"from={record.before}")
    if record.after is not None:
        words.append(f"to={record.after}")
    if record.reason is not None:
        reason = record.reason
        words.append(f'rule="{reason.rule}" window_s={reason.window_ns / NANO:g}')
        words.append(f"measured={reason.measured:.4g} threshold={reason.threshold:.4g}")
    if record.message:
        words.append(f'message="{record.message}"')
    return " ".join(words)
