"""The loop around the controller: a clock, calls to the outside, and an end when it is told to.

Nothing that it does on its way out changes the pipeline: replicas go on as they were asked for last.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from threading import Event
from time import monotonic_ns

from inferline.domain import StageConfiguration
from inferline.units import NANO
from tuner.control import Change, Outcome, Record, Rules, Seen, State
from tuner.controller import first_state, tick
from tuner.health import Health
from tuner.outside import Outside
from tuner.plans import InForce, Plans, Unfit
from tuner.protocols import Arrivals, ArrivalsSeen, Lease, Replicas
from tuner.replanning import Replanning
from tuner.situation import Policy, Situation

__all__ = ["Daemon", "Parts", "record_words"]

_log = logging.getLogger(__name__)

_LEASE_LIMIT_S = 5.0
_MOVE_LIMIT_S = 30.0
"""How long the end of the daemon waits for a move to stop, and to take back what it has started."""
_WAIT_SHARE = 0.5
"""Of a tick, what is waited for looks; what comes later counts at the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a daemon is made of.

    Parameters
    ----------
    situation, policy, rules
        As for `tuner.controller.tick`, at the start.
    arrivals, replicas, lease
        The outside; without a lease it always leads.
    health
        Told of every tick.
    limit_s
        How long a call to the outside may take.
    watch
        Called with the situation, what was seen and what came of it, at every tick.
    plans
        Which plan is in force; None when it never changes.
    replanning
        What is done about drift; None for nothing.
    """

    situation: Situation
    policy: Policy
    rules: Rules
    arrivals: Arrivals
    replicas: Replicas
    health: Health
    lease: Lease | None = None
    limit_s: float = 10.0
    watch: Callable[[Situation, Seen, Outcome], None] = lambda situation, seen, outcome: None  # noqa: ARG005
    plans: Plans | None = None
    replanning: Replanning | None = None


class Daemon:
    """An autoscaler that runs until it is stopped."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._stop = Event()
        self._force = InForce(situation=parts.situation, rules=parts.rules, replicas=parts.replicas)
        self._plans: Outside[InForce | Unfit | None] = Outside("reading which plan is in force", parts.limit_s)
        self._plans_said = ""
        self._unfit = ""
        self._state: State = first_state(parts.situation)
        self._arrivals: Outside[ArrivalsSeen] = Outside("reading arrivals", parts.limit_s)
        self._requested = self._asking()
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
        if self._parts.replanning is not None:
            self._say(self._parts.replanning.close(_MOVE_LIMIT_S))
        if self._parts.lease is not None:
            release: Outside[None] = Outside("giving the lease back", _LEASE_LIMIT_S)
            release.ask(self._parts.lease.release)
            release.answer(_LEASE_LIMIT_S)

    def _tick(self) -> None:
        parts = self._parts
        before = self._hear_plans()
        seen = self._look()
        force = self._force
        begun_ns = monotonic_ns()
        outcome = tick(force.situation, parts.policy, force.rules, seen, self._state)
        took_ns = monotonic_ns() - begun_ns
        self._state = outcome.state
        for change in outcome.changes:
            self._ask(change)
        records = (*before, *outcome.records, *self._replan(seen))
        self._say(records)
        parts.health.note(seen, outcome.state, records, took_ns)
        if parts.replanning is not None:
            parts.health.note_replanning(parts.replanning.state)
        parts.watch(force.situation, seen, outcome)

    def _asking(self) -> Outside[Mapping[str, int]]:
        return Outside("reading what is asked for", self._parts.limit_s)

    def _say(self, records: tuple[Record, ...]) -> None:
        for record in records:
            _log.log(_LEVELS.get(record.event, logging.INFO), "%s", record_words(record))

    # Which plan is in force

    def _hear_plans(self) -> tuple[Record, ...]:
        """Go on with another plan when one has come into force; ask again."""
        parts = self._parts
        if parts.plans is None:
            return ()
        answer = self._plans.answer()
        self._plans.ask(parts.plans.look)
        if answer is None:
            return ()
        if answer.failure and answer.failure != self._plans_said:
            _log.warning('event=plan_unknown message="%s"', answer.failure)
        self._plans_said = answer.failure
        if answer.value is None:
            return ()
        if isinstance(answer.value, Unfit):
            self._unfit = answer.value.reason
            return ()
        self._unfit = ""
        before, self._force = self._force, answer.value
        self._requested = self._asking()  # what is being asked is about the sets of before
        self._state = self._state.adopting(self._force.rules, monotonic_ns())
        if parts.replanning is not None:
            parts.replanning.adopted()
        message = "; ".join(_differences(before.situation, self._force.situation)) or "the same replicas as before"
        return (Record(event="plan_changed", message=message),)

    def _replan(self, seen: Seen) -> tuple[Record, ...]:
        replanning = self._parts.replanning
        if replanning is None:
            return ()
        fresh = None if self._unfit or "lost" in self._state.conditions else seen.arrivals
        quiet = not any(outside.is_busy for outside in self._asks.values())
        return replanning.tick(
            self._force.situation,
            fresh,
            seen.now_ns,
            requested=seen.requested,
            leading=seen.leading and not self._unfit,
            quiet=quiet,
        )

    # The outside

    def _look(self) -> Seen:
        parts = self._parts
        if not self._arrivals.is_busy and not self._arrivals.ask(parts.arrivals.look):
            self._lost = "too many looks hang"
        moving = frozenset() if parts.replanning is None else parts.replanning.moving
        self._requested.ask(self._force.replicas.requested)
        if parts.lease is not None:
            self._lease.ask(parts.lease.hold)
        until_ns = monotonic_ns() + round(parts.rules.tick_ns * _WAIT_SHARE)
        answer = self._requested.answer(_left_s(until_ns))
        requested = None if answer is None else answer.value
        # Replicas that are being moved may be gone already.
        unreachable = "" if answer is None or moving else answer.failure
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
            moving=moving,
            unfit=self._unfit,
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
        force = self._force

        def ask() -> None:
            if self._leads(0.0) and force is self._force:  # the thread may have begun late
                force.replicas.ask(change.stage, change.after)

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
    "unfit": logging.WARNING,
    "replan_failed": logging.WARNING,
    "move_failed": logging.WARNING,
}


def _differences(before: Situation, after: Situation) -> Iterator[str]:
    """Yield what runs otherwise, stage by stage."""
    for name, is_now in after.plan.configuration.items():
        was = before.plan.configuration[name]
        if was != is_now:
            yield f"{name}: {_stage_words(was)} -> {_stage_words(is_now)}"


def _stage_words(stage: StageConfiguration) -> str:
    return f"{stage.replicas} on {stage.hardware} with batches of {stage.max_batch}"


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
    words += [f"{name}={value:.6g}" for name, value in record.figures.items()]
    if record.message:
        words.append(f'message="{record.message}"')
    return " ".join(words)
