"""The order in which a deployment gets from how it stands to how it is to stand. Pure.

Capacity comes before it goes: everything that adds replicas; then the plan and its versions are switched to; then
what is too many is stopped. Replicas of one version share a queue whatever hardware they are on, so those on new
hardware serve at once; those of a new version stand by for the switch.

A hardware limit can forbid that. Then room is made, on the hardware that is short of it, by the first of these that
makes any, the order of `inferline diff`: switch a stage whose replicas of the new version can take over; stop what
serves nothing; start as many as there is room for; stop what the stage can do without, now and afterwards; and at
last stop replicas that serve, down to one, then all - where the version changes, after a switch to it, so that
queries wait where the next replicas will be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from serving_adapter.deployment.standing import Standing
from serving_adapter.replicas import SetKey

__all__ = ["DELETE", "DRAIN", "REGISTER", "START", "STOP", "SWITCH", "Step", "StepKind", "plan_steps"]

StepKind = Literal["register", "start", "switch", "drain", "stop", "delete"]

REGISTER: StepKind = "register"
START: StepKind = "start"
SWITCH: StepKind = "switch"
DRAIN: StepKind = "drain"
STOP: StepKind = "stop"
DELETE: StepKind = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step.

    Parameters
    ----------
    kind
        ``register`` the pipeline with its plan at the core; ``start`` replicas of a set, until there are so many that
        can serve; ``switch`` to the plan and to `versions`; ``drain``: wait until the queries are through that came
        before the switch; ``stop`` replicas of a set, after their batches; ``delete`` versions that serve no more.
    key
        The set that is started or stopped.
    before, after
        Its replicas.
    versions
        (stage, version): those that visits go to from here on, or those that are deleted.
    left
        Replicas that serve the stage after a stop; after a switch, the fewest that serve any whose version changes.
    forced
        Whether a hardware limit takes serving replicas away before their successors are there.
    """

    kind: StepKind
    key: SetKey | None = None
    before: int = 0
    after: int = 0
    versions: tuple[tuple[str, str], ...] = ()
    left: int = 0
    forced: bool = False

    @property
    def is_gap(self) -> bool:
        """Whether it leaves a stage that serves queries without any replica for a while."""
        return self.forced and not self.left


def plan_steps(now: Standing, wanted: Standing, stages: Sequence[str], limits: Mapping[str, int]) -> tuple[Step, ...]:
    """Order what turns one standing into another; nothing when they agree.

    Parameters
    ----------
    now
        How the deployment stands.
    wanted
        How it is to stand; within the limits.
    stages
        Stages that are wanted, in topological order. Replicas are started from the last one to the first, because a
        stage that gets faster hands its queue on to the stages behind it, and stopped from the first to the last.
    limits
        Most units of each hardware that has a limit. It is not passed, but where `now` does so already.
    """
    ordering = _Ordering(now, wanted, stages, limits)
    ordering.register()
    while blocked := ordering.start_whole():
        ordering.make_room(blocked)
    ordering.end()
    return tuple(ordering.steps)


class _Ordering:
    """How the deployment stands while its steps are being ordered."""

    def __init__(self, now: Standing, wanted: Standing, stages: Sequence[str], limits: Mapping[str, int]) -> None:
        self.steps: list[Step] = []
        self._wanted = wanted
        self._limits = limits
        self._replicas = dict(now.replicas)
        self._versions = dict(now.versions)
        self._models = now.models
        self._digest = now.digest
        others = sorted({key.stage for key in now.replicas} | set(now.versions))
        self._stages = tuple(dict.fromkeys([*stages, *others]))  # those that are to go come last
        self._floor = {stage: min(now.capacity(stage), wanted.capacity(stage)) for stage in stages}

    # What there is

    def _capacity(self, stage: str) -> int:
        return self._count(stage, self._versions.get(stage))

    def _count(self, stage: str, version: str | None) -> int:
        return sum(count for key, count in self._replicas.items() if key.stage == stage and key.version == version)

    def _room(self, hardware: str) -> float:
        used = sum(count for key, count in self._replicas.items() if key.hardware == hardware)
        return self._limits.get(hardware, float("inf")) - used

    def _missing(self) -> Iterator[tuple[SetKey, int]]:
        """Yield what is to be started still, stages that nothing serves first, and else the last stage first."""
        keys = [key for stage in reversed(self._stages) for key, _ in self._wanted.of(stage)]
        for key in sorted(keys, key=lambda key: self._capacity(key.stage) > 0):
            if (missing := self._wanted.replicas[key] - self._replicas.get(key, 0)) > 0:
                yield key, missing

    def _surplus(self, hardware: Sequence[str] | None = None) -> Iterator[tuple[SetKey, int]]:
        """Yield what is to be stopped still, on that hardware or on any, the first stage first."""
        for stage in self._stages:
            for key in [key for key in self._replicas if key.stage == stage]:
                surplus = self._replicas[key] - self._wanted.replicas.get(key, 0)
                if surplus > 0 and (hardware is None or key.hardware in hardware):
                    yield key, surplus

    def _serves(self, key: SetKey) -> bool:
        return self._versions.get(key.stage) == key.version

    # What is done

    def register(self) -> None:
        """Register the pipeline when it is not."""
        if not self._versions:
            self._versions = dict(self._wanted.versions)
            self._digest = self._wanted.digest
            self.steps.append(Step(kind=REGISTER, versions=tuple(self._versions.items())))

    def start_whole(self) -> list[str]:
        """Start everything that there is room for at one go; return the hardware that is short of room."""
        blocked: list[str] = []
        for key, missing in self._missing():
            if missing <= self._room(key.hardware):
                self._start(key, missing)
            elif key.hardware not in blocked:
                blocked.append(key.hardware)
        return blocked

    def make_room(self, blocked: Sequence[str]) -> None:
        """Do the least harmful thing that brings the blocked hardware nearer to its end."""
        if (
            self._switch_able(blocked)
            or self._stop_idle(blocked)
            or self._start_partly(blocked)
            or self._stop_serving(blocked, self._floor)
        ):
            return
        if self._stop_serving(blocked, dict.fromkeys(self._floor, 1), forced=True):
            return
        if not self._switch_too_early(blocked):
            self._stop_serving(blocked, dict.fromkeys(self._floor, 0), forced=True)

    def end(self) -> None:
        """Switch what has not been switched, stop what is left over, and delete versions that serve no more."""
        if self._digest != self._wanted.digest or self._versions != self._wanted.versions:
            self._switch(self._wanted.versions)
        for key, surplus in list(self._surplus()):
            self._stop(key, surplus)
        for key in [key for key in self._replicas if key not in self._wanted.replicas]:
            self._stop(key, 0)  # asked for at the target with no replicas: it is to be forgotten
        gone = sorted(model for model in self._models if self._wanted.versions.get(model[0]) != model[1])
        if gone:
            self.steps.append(Step(kind=DELETE, versions=tuple(gone)))

    def _start(self, key: SetKey, more: int) -> None:
        before = self._replicas.get(key, 0)
        self._replicas[key] = before + more
        self.steps.append(Step(kind=START, key=key, before=before, after=before + more))

    def _stop(self, key: SetKey, fewer: int, *, forced: bool = False) -> None:
        before = self._replicas[key]
        if key in self._wanted.replicas or before > fewer:
            self._replicas[key] = before - fewer
        else:
            del self._replicas[key]
        left = self._capacity(key.stage)
        self.steps.append(Step(kind=STOP, key=key, before=before, after=before - fewer, left=left, forced=forced))

    def _switch(self, stages: Sequence[str] | Mapping[str, str], *, forced: bool = False) -> None:
        """Switch to the plan, to the new versions of these stages, and to those of stages that are new."""
        wanted, before = self._wanted.versions, self._versions
        changed = {
            stage: version
            for stage, version in wanted.items()
            if (stage in stages or stage not in before) and before.get(stage) != version
        }
        self._versions = {stage: version for stage, version in before.items() if stage in wanted} | changed
        self._digest = self._wanted.digest
        left = min(map(self._capacity, changed), default=1)
        self.steps.append(Step(kind=SWITCH, versions=tuple(changed.items()), left=left, forced=forced))
        if before.keys() - wanted.keys() or before.keys() & changed.keys():
            self.steps.append(Step(kind=DRAIN))

    # How room is made

    def _switch_able(self, blocked: Sequence[str]) -> bool:
        """Switch the stages whose replicas of the new version, which stand by, are as many as serve, or as wanted."""
        holding = {key.stage for key, _ in self._surplus(blocked) if self._serves(key)}
        able = [stage for stage in self._stages if stage in holding and self._can_take_over(stage)]
        if able:
            self._switch(able)
        return bool(able)

    def _can_take_over(self, stage: str) -> bool:
        version = self._wanted.versions.get(stage)
        if version is None or version == self._versions.get(stage):
            return False
        there = self._count(stage, version)
        return there >= max(1, min(self._capacity(stage), self._wanted.capacity(stage)))

    def _stop_idle(self, blocked: Sequence[str]) -> bool:
        """Stop what serves nothing."""
        idle = [(key, surplus) for key, surplus in self._surplus(blocked) if not self._serves(key)]
        for key, surplus in idle:
            self._stop(key, surplus)
        return bool(idle)

    def _start_partly(self, blocked: Sequence[str]) -> bool:
        for key, _ in self._missing():
            room = self._room(key.hardware)
            if key.hardware in blocked and room >= 1:
                self._start(key, int(room))
                return True
        return False

    def _switch_too_early(self, blocked: Sequence[str]) -> bool:
        """Switch away from versions, and stages, that hold units; queries wait where the next replicas will be."""
        holding = [
            key.stage
            for key, _ in self._surplus(blocked)
            if self._serves(key) and self._wanted.versions.get(key.stage) != key.version
        ]
        if holding:
            self._switch(holding, forced=True)
        return bool(holding)

    def _stop_serving(self, blocked: Sequence[str], floor: Mapping[str, int], *, forced: bool = False) -> bool:
        """Stop what the first set that waits needs, where the largest share is left; none gets below its floor."""
        for hardware in blocked:
            needed = next(missing for key, missing in self._missing() if key.hardware == hardware)
            needed -= int(self._room(hardware))
            fewer = {
                key: min(surplus, needed, self._capacity(key.stage) - floor[key.stage])
                for key, surplus in self._surplus([hardware])
                if self._serves(key) and key.stage in floor  # a stage that is to go serves until the switch
            }
            choices = [key for key, count in fewer.items() if count > 0]
            if choices:
                most = max(choices, key=lambda key: 1 - fewer[key] / self._capacity(key.stage))
                self._stop(most, fewer[most], forced=forced)
                return True
        return False
