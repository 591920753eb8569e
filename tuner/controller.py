"""One tick of the autoscaler, as a pure function: what is seen, what the policy decides, what is asked for.

These rules stand above every policy:

* **Metrics are lost or stale**, or the target does not say what is asked for: nothing is changed, but for scale-ups
  whose attempt has failed and counts below the floor. It is said once, and once more when it is over.
* **The clock has jumped**, or another process of the server answers: windows begin anew, nothing is changed at that
  tick, and nothing goes down until they have filled.
* **Asking fails**: the decision stays and is tried again, after twice as long each time.
* **A change takes its time**: a stage has at most one change that is not confirmed. It is confirmed when as many
  replicas serve. When they do not in time, it is said, and the stage goes on from there.
* **Somebody else changes a count**: it is said, and stays so for a while; then the policy's count counts again.
* **Bounds**: never is less asked for than the floor, and never more than a stage's maximum or a hardware's limit;
  where the limit leaves less than a floor, what it leaves.
* **Up before down**: nothing goes down while something is on its way up, unless that has failed several times: what
  goes down may be the room that it needs.
* **Calm**: a stage goes down to the most that the policy wanted for it in a while, whatever it wants now.
* **One of several**: who does not lead decides, so as to be ready, and changes nothing.
* **Another plan**: stages that are being moved to one are left alone, and nothing goes down meanwhile. Once it is in
  force, windows begin anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from inferline.units import format_duration
from tuner.control import Asked, Change, Outcome, Record, Rules, Seen, StageState, State
from tuner.protocols import ArrivalsSeen
from tuner.situation import Observation, Policy, Reason, Situation, StageObservation

__all__ = ["first_state", "tick"]

_ENDS = {"lost": "metrics_back", "unreachable": "target_back", "standby": "leading", "unfit": "fits_again"}


def first_state(situation: Situation) -> State:
    """Return what is kept before the first tick."""
    return State(stages={stage.name: StageState() for stage in situation.pipeline.stages})


def tick(situation: Situation, policy: Policy, rules: Rules, seen: Seen, state: State) -> Outcome:
    """Observe, decide and act once, by the rules of this module.

    Parameters
    ----------
    situation, policy
        What is in force, and what decides.
    rules
        Constants.
    seen
        What is known now.
    state
        What the tick before has kept.
    """
    doing = _Tick(situation, policy, rules, seen, state)
    fresh = doing.begin()
    doing.compare_requested(fresh)
    doing.decide(fresh)
    changes = doing.act(fresh)
    return Outcome(changes=changes, records=tuple(doing.records), state=doing.finished())


@dataclass(slots=True)
class _Tick:
    """A tick while it is being worked out: the state that it began with, and what becomes of it."""

    situation: Situation
    policy: Policy
    rules: Rules
    seen: Seen
    state: State
    stages: dict[str, StageState] = field(init=False)
    records: list[Record] = field(default_factory=list)
    conditions: set[str] = field(default_factory=set)
    note: Any = None
    decided_ns: int | None = None
    source: str = ""
    observed_ns: int | None = None
    settled_ns: int = 0
    jumped: bool = False

    def __post_init__(self) -> None:
        self.stages = dict(self.state.stages)
        self.note, self.decided_ns = self.state.note, self.state.decided_ns
        self.source, self.observed_ns = self.state.source, self.state.observed_ns
        self.settled_ns = self.state.settled_ns

    # Observe

    def begin(self) -> ArrivalsSeen | None:
        """Find what holds everything back; return what is seen of the queries where it is fresh."""
        seen, state, rules = self.seen, self.state, self.rules
        if state.ticked_ns is None:
            self._begin_windows("")
        elif not 0 <= seen.now_ns - state.ticked_ns < rules.jump_ticks * rules.tick_ns:
            self.jumped = True
            gap = format_duration(abs(seen.now_ns - state.ticked_ns))
            self._begin_windows("jumped", f"{gap} have passed since the tick before; windows begin anew")
        if seen.leading and not state.leading:  # what the one before has asked for may be on its way
            self.settled_ns = max(self.settled_ns, seen.now_ns + rules.settle_ns)
        fresh = self._fresh()
        # A call that is still being made says nothing, neither that it is so nor that it is over.
        said = bool(seen.unreachable) or "unreachable" in state.conditions
        self._condition("unreachable", seen.requested is None and said, seen.unreachable)
        self._condition("standby", not seen.leading, "another daemon leads; this one only watches")
        self._condition("unfit", bool(seen.unfit), seen.unfit)
        if fresh is not None and fresh.source != self.source:
            if self.source:
                self._begin_windows("restarted", "another process of the server answers; windows begin anew")
                self.jumped = True
            self.source, self.observed_ns = fresh.source, None
        elif fresh is not None and self.observed_ns is not None and fresh.now_ns < self.observed_ns:
            self._begin_windows("restarted", "the server's clock went back; windows begin anew")
            self.jumped, self.observed_ns = True, None
        return fresh

    def _fresh(self) -> ArrivalsSeen | None:
        seen, rules = self.seen, self.rules
        arrivals = seen.arrivals
        age_ns = seen.now_ns - seen.arrivals_ns
        stale = arrivals is None or not 0 <= age_ns <= rules.stale_ticks * rules.tick_ns
        if arrivals is not None and stale:
            message = f"the last metrics are {format_duration(abs(age_ns))} old; {seen.lost or 'no others came'}"
        else:
            message = f"no metrics yet; {seen.lost or 'none came'}"
        if not stale and "lost" in self.state.conditions:
            self.settled_ns = max(self.settled_ns, seen.now_ns + rules.settle_ns)
        # Before the first tick has had its time, nothing is lost.
        self._condition("lost", stale and self.state.ticked_ns is not None, message)
        return None if stale else arrivals

    def _begin_windows(self, event: str, message: str = "") -> None:
        self.note = self.decided_ns = None
        self.settled_ns = self.seen.now_ns + self.rules.settle_ns
        self.stages = {name: replace(at, wanted=None, reason=None, lately=()) for name, at in self.stages.items()}
        if event:
            self.records.append(Record(event=event, message=message))

    def _condition(self, name: str, holds: bool, message: str) -> None:
        if holds:
            self.conditions.add(name)
            if name not in self.state.conditions:
                self.records.append(Record(event=name, message=message))
        elif name in self.state.conditions:
            self.records.append(Record(event=_ENDS[name]))

    def compare_requested(self, fresh: ArrivalsSeen | None) -> None:
        """Find out what has become of changes, and what somebody else has changed."""
        self._hear_failures()
        if self.seen.requested is None:
            return
        leads = self.seen.leading and self.state.leading
        for name, count in self.seen.requested.items():
            at = self.stages[name]
            if not leads or name in self.seen.moving:
                self.stages[name] = replace(
                    at, known=count, asked=None, tried=None, held_ns=0, failures=0, retry_ns=0
                )
                continue
            if at.known is not None and count != at.known:
                at = self._changed(name, at, count)
            at = self._confirmed(name, replace(at, known=count), fresh)
            self.stages[name] = self._hold_over(name, at)

    def _hear_failures(self) -> None:
        rules = self.rules
        for name, reason in self.seen.refused.items():
            at = self.stages[name]
            failures = at.failures + 1
            pause_ns = min(rules.longest_back_off_ns, rules.first_back_off_ns << min(failures - 1, 32))
            tried = at.tried if at.asked is None else at.asked
            self.stages[name] = replace(
                at, asked=None, tried=tried, failures=failures, retry_ns=self.seen.now_ns + pause_ns
            )
            message = f"{reason}; tried again in {format_duration(pause_ns)}"
            after = None if tried is None else tried.after
            self.records.append(Record(event="failed", stage=name, before=at.known, after=after, message=message))

    def _changed(self, name: str, at: StageState, count: int) -> StageState:
        """Tell our own change from another's."""
        if at.asked is not None and at.known is not None:
            fewest, most = sorted((at.known, at.asked.after))
            if fewest <= count <= most:  # ours, or ours on its way: an engine is asked for one replica after another
                return at
        if at.asked is None and at.tried is not None and count == at.tried.after and at.known is not None:
            self.records.append(Record(event="landed", stage=name, before=at.known, after=count))
            asked = Asked(before=at.known, after=count, since_ns=self.seen.now_ns)
            return replace(at, asked=asked, tried=None, failures=0, retry_ns=0)
        if self._is_of_the_plan(name, count):
            return replace(at, asked=None, tried=None, failures=0, retry_ns=0)
        held_ns = self.seen.now_ns + self.rules.operator_ns
        message = f"somebody else changed it; that stays for {format_duration(self.rules.operator_ns)}"
        self.records.append(Record(event="operator", stage=name, before=at.known, after=count, message=message))
        return replace(at, asked=None, tried=None, failures=0, retry_ns=0, held_ns=held_ns)

    def _is_of_the_plan(self, name: str, count: int) -> bool:
        """Whether a change by somebody else is the end of the deployment that brought the plan into force."""
        adopted_ns = self.state.adopted_ns
        lately = adopted_ns is not None and self.seen.now_ns - adopted_ns < self.rules.operator_ns
        return lately and count == self.situation.plan.configuration[name].replicas

    def _confirmed(self, name: str, at: StageState, fresh: ArrivalsSeen | None) -> StageState:
        asked = at.asked
        if asked is None:
            return at
        if fresh is not None and at.known == asked.after:
            ready = fresh.stages[name].ready
            if ready >= asked.after if asked.is_up else ready <= asked.after:
                took = format_duration(self.seen.now_ns - asked.since_ns)
                self.records.append(
                    Record(
                        event="confirmed", stage=name, before=asked.before, after=asked.after, message=f"after {took}"
                    )
                )
                return replace(at, asked=None, failures=0, retry_ns=0)
        if self.seen.now_ns - asked.since_ns >= self.rules.time_out_ns[name]:
            serve = "" if fresh is None else f", {fresh.stages[name].ready} serve"
            message = f"after {format_duration(self.seen.now_ns - asked.since_ns)}, {at.known} are asked for{serve}"
            self.records.append(
                Record(event="unconfirmed", stage=name, before=asked.before, after=asked.after, message=message)
            )
            return replace(at, asked=None, tried=asked)
        return at

    def _hold_over(self, name: str, at: StageState) -> StageState:
        """Forget what was long enough ago."""
        if at.tried is not None and self.seen.now_ns - at.tried.since_ns >= 2 * self.rules.time_out_ns[name]:
            at = replace(at, tried=None)
        if at.held_ns and self.seen.now_ns >= at.held_ns:
            self.records.append(Record(event="reconciled", stage=name, message="the policy's count counts again"))
            return replace(at, held_ns=0)
        return at

    # Decide

    def decide(self, fresh: ArrivalsSeen | None) -> None:
        """Ask the policy, when there is something new and its period is over."""
        requested = self.seen.requested
        if fresh is None or requested is None or self.jumped or fresh.now_ns == self.observed_ns:
            return
        now_ns = self.seen.now_ns
        # A quarter of a tick early is no reason to wait for the next one.
        if self.decided_ns is not None and now_ns - self.decided_ns < self.rules.period_ns - self.rules.tick_ns // 4:
            return
        decision, self.note = self.policy(self.situation, _observation(fresh, requested), self.note)
        self.decided_ns, self.observed_ns = now_ns, fresh.now_ns
        for name, count in decision.replicas.items():
            at = self.stages[name]
            kept = tuple(each for each in at.lately if each[0] > now_ns - self.rules.calm_ns[name])
            lately = (*kept, (now_ns, count))
            self.stages[name] = replace(at, wanted=count, reason=decision.reasons.get(name), lately=lately)

    # Act

    def act(self, fresh: ArrivalsSeen | None) -> tuple[Change, ...]:
        """Return what is asked for now."""
        requested = self.seen.requested
        if requested is None or not self.seen.leading or self.jumped or self.seen.unfit:
            return ()
        wanted = {name: self._wanted(name, count, fresh) for name, count in requested.items()}
        moving = self.seen.moving
        free = [
            name
            for name, at in self.stages.items()
            if at.asked is None and self.seen.now_ns >= at.retry_ns and name not in moving
        ]
        ups = self._within_limits(requested, {name: wanted[name] for name in free if wanted[name] > requested[name]})
        downs: dict[str, int] = {}
        rises = not self.rules.dry_run and (ups or self._rising(requested))  # in a dry run, ups never land
        if fresh is not None and self.seen.now_ns >= self.settled_ns and not rises and not moving:
            downs = {name: wanted[name] for name in free if wanted[name] < requested[name]}
        changes = tuple(
            Change(stage=name, before=requested[name], after=after) for name, after in {**ups, **downs}.items()
        )
        return self._said(changes) if self.rules.dry_run else self._asked(changes)

    def _wanted(self, name: str, count: int, fresh: ArrivalsSeen | None) -> int:
        """Return how many replicas a stage is to have, but for the limits of hardware."""
        at, stage = self.stages[name], self.situation.pipeline.stage(name)
        floor = self.rules.floor[name]
        wanted = count if at.wanted is None or self.seen.now_ns < at.held_ns else at.wanted
        if wanted < count:
            wanted = min(count, max(most for _, most in at.lately))
        if fresh is None and not (at.failures and wanted > count):
            wanted = count
        if wanted == count:  # what somebody else has set may be above the maximum
            return max(count, floor)
        return max(floor, min(wanted, stage.max_replicas))

    def _within_limits(self, requested: Mapping[str, int], ups: Mapping[str, int]) -> dict[str, int]:
        """Return what the limits of the hardware leave of scale-ups."""
        configuration, pipeline = self.situation.plan.configuration, self.situation.pipeline
        held = {}
        for name, count in requested.items():
            at = self.stages[name]
            held[name] = max([count, *(each.after for each in (at.asked, at.tried) if each is not None)])
        granted: dict[str, int] = {}
        # Who is below its floor comes first.
        for name, after in sorted(ups.items(), key=lambda up: requested[up[0]] >= self.rules.floor[up[0]]):
            hardware = configuration[name].hardware
            limit, now = pipeline.unit(hardware).limit, requested[name]
            if limit is not None:
                others = sum(
                    count
                    for other, count in held.items()
                    if other != name and configuration[other].hardware == hardware
                )
                most = max(now, min(after, limit - others))
                self._limited(name, now, after, most, f"{hardware} has {limit} units, {others} are taken by others")
                after = most  # noqa: PLW2901 - what is left of it
            if after > now:
                granted[name] = held[name] = after
        return granted

    def _limited(self, name: str, now: int, wanted: int, most: int, message: str) -> None:
        if most < wanted:
            condition = f"limited {name}"
            self.conditions.add(condition)
            if condition not in self.state.conditions:
                self.records.append(Record(event="limited", stage=name, before=now, after=wanted, message=message))

    def _rising(self, requested: Mapping[str, int]) -> bool:
        """Whether something is on its way up."""
        for name, at in self.stages.items():
            if at.asked is not None and at.asked.is_up:
                return True
            waits = at.wanted is not None and at.wanted > requested[name] and self.seen.now_ns >= at.held_ns
            if 0 < at.failures < self.rules.patient_failures and waits:
                return True
        return False

    def _asked(self, changes: tuple[Change, ...]) -> tuple[Change, ...]:
        for change in changes:
            at = self.stages[change.stage]
            asked = Asked(before=change.before, after=change.after, since_ns=self.seen.now_ns)
            self.stages[change.stage] = replace(at, asked=asked, tried=None)
            self.records.append(self._record("scale", change))
        return changes

    def _said(self, changes: tuple[Change, ...]) -> tuple[Change, ...]:
        said = {change.stage: change.after for change in changes}
        for change in changes:
            if self.stages[change.stage].said != change.after:
                self.records.append(self._record("would_scale", change))
        self.stages = {name: replace(at, said=said.get(name)) for name, at in self.stages.items()}
        return ()

    def _record(self, event: str, change: Change) -> Record:
        at = self.stages[change.stage]
        reason = at.reason
        if change.after == self.rules.floor[change.stage] and at.wanted != change.after:
            reason = Reason(rule="floor", measured=change.before, threshold=change.after)
        elif at.wanted is not None and at.wanted < change.after < change.before:
            calm_ns = self.rules.calm_ns[change.stage]
            reason = Reason(rule="calm", window_ns=calm_ns, measured=change.after, threshold=at.wanted)
        elif at.wanted != change.after:
            reason = Reason(rule="bounds" if reason is None else reason.rule, measured=at.wanted or 0)
        return Record(event=event, stage=change.stage, before=change.before, after=change.after, reason=reason)

    def finished(self) -> State:
        """Return what is kept."""
        return State(
            stages=self.stages,
            note=self.note,
            ticked_ns=self.seen.now_ns,
            decided_ns=self.decided_ns,
            source=self.source,
            observed_ns=self.observed_ns,
            settled_ns=self.settled_ns,
            leading=self.seen.leading,
            conditions=frozenset(self.conditions),
            adopted_ns=self.state.adopted_ns,
        )


def _observation(seen: ArrivalsSeen, requested: Mapping[str, int]) -> Observation:
    """Return what policies are given."""
    return Observation(
        now_ns=seen.now_ns,
        stages={
            name: StageObservation(
                arrival_ns=stage.arrival_ns,
                queued=stage.queued,
                in_service=stage.in_service,
                requested=requested[name],
                ready=stage.ready,
                utilisation=stage.utilisation,
            )
            for name, stage in seen.stages.items()
        },
    )
