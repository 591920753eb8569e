"""Doing the steps of a deployment, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from time import monotonic, sleep
from typing import Protocol

from inferline.errors import InferlineError
from serving_adapter.client.admin import AdminClient
from serving_adapter.deployment.looks import look_at
from serving_adapter.deployment.readiness import POLL_S, await_gone, await_ready
from serving_adapter.deployment.steps import DELETE, DRAIN, REGISTER, START, STOP, SWITCH, Step
from serving_adapter.deployment.wanted import Files, Wanted
from serving_adapter.frontend.pipeline_admin import stage_model
from serving_adapter.replicas import CoreAddress, ReplicaSet, SetKey, Target

__all__ = ["Observer", "Site", "carry_out"]

_SETTLING_S = 0.5
"""Requests that were being read when the switch came have become queries by then."""


class Observer(Protocol):
    """Who is told how it goes."""

    def began(self, step: Step) -> None:
        """Hear that a step has begun."""

    def ready(self, key: SetKey, count: int) -> None:
        """Hear how many replicas of a set can serve."""

    def done(self, step: Step) -> None:
        """Hear that a step is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a deployment runs.

    Parameters
    ----------
    target, core
        Where replicas run, and the serving core as they reach it.
    admin, query_url
        The interfaces of the serving core as they are reached from here.
    timeout_s
        How long replicas may take until they can serve, and until they have ended.
    check
        Called before every change: raises OutsideError when somebody else may change the deployment by now.
    """

    target: Target
    core: CoreAddress
    admin: AdminClient
    query_url: str
    timeout_s: float
    check: Callable[[], None] = lambda: None


def carry_out(
    steps: Sequence[Step],
    site: Site,
    files: Files,
    wanted: Wanted,
    known: Mapping[SetKey, ReplicaSet],
    observer: Observer,
    *,
    clock: Callable[[], float] = monotonic,
    pause: Callable[[float], None] = sleep,
) -> None:
    """Do the steps in their order, and wait for each; those that start replicas one after the other, together.

    In the end, every set that is wanted can serve, also when there were no steps.

    Parameters
    ----------
    steps
        What `plan_steps` has ordered.
    site
        Where.
    files, wanted
        What is to run.
    known
        How other replicas are run that are there.
    observer
        Told how it goes.
    clock, pause
        Monotonic seconds, and how to let some pass.

    Raises
    ------
    InputError
        When the serving core or the target refuses something.
    OutsideError
        When replicas cannot serve in time, or the serving core or the target fails. What is done so far stays.
    """
    doing = _Doing(site, files, {**known, **wanted.sets}, observer, clock, pause)
    for kind, group in groupby(steps, key=lambda step: step.kind):
        if kind == START:
            doing.start(list(group))
            continue
        for step in group:
            site.check()
            observer.began(step)
            doing.one(step)
            observer.done(step)
    doing.await_ready(list(wanted.sets.values()))


class _Doing:
    """The steps that have effects."""

    def __init__(
        self,
        site: Site,
        files: Files,
        sets: Mapping[SetKey, ReplicaSet],
        observer: Observer,
        clock: Callable[[], float],
        pause: Callable[[float], None],
    ) -> None:
        self._site = site
        self._files = files
        self._sets = sets
        self._observer = observer
        self._clock = clock
        self._pause = pause
        self._name = files.pipeline.name
        self._models = {stage_model(self._name, stage) for stage in (*files.stages, *(key.stage for key in sets))}

    def start(self, steps: Sequence[Step]) -> None:
        """Start replicas, and wait until all of them can serve."""
        started = [replace(self._sets[step.key], replicas=step.after) for step in steps if step.key is not None]
        for step, each in zip(steps, started, strict=True):
            self._site.check()
            self._observer.began(step)
            self._site.target.start(each, self._site.core)
        self.await_ready(started)
        for step in steps:
            self._observer.done(step)

    def await_ready(self, sets: Sequence[ReplicaSet]) -> None:
        """Wait until all replicas of these sets can serve."""
        site = self._site
        await_ready(
            site.target,
            site.admin,
            sets,
            site.timeout_s,
            observe=self._observer.ready,
            clock=self._clock,
            pause=self._pause,
        )

    def one(self, step: Step) -> None:
        """Do a step that starts nothing."""
        admin, files = self._site.admin, self._files
        if step.kind == REGISTER:
            admin.add_pipeline(files.document, files.plan, versions=dict(step.versions))
        elif step.kind == SWITCH:
            admin.set_plan(self._name, files.plan, pipeline=files.document, versions=dict(step.versions))
        elif step.kind == DRAIN:
            self._drain()
        elif step.kind == STOP and step.key is not None:
            self._stop(step.key, step.after)
        elif step.kind == DELETE:
            for stage, version in step.versions:
                admin.delete_versioned_model(stage_model(self._name, stage), version)

    def _stop(self, key: SetKey, after: int) -> None:
        target = self._site.target
        if after and key in self._sets:
            target.start(replace(self._sets[key], replicas=after), self._site.core)
        else:
            target.stop(self._name, key)
        await_gone(target, self._name, key, after, self._site.timeout_s, clock=self._clock, pause=self._pause)

    def _drain(self) -> None:
        """Wait until the queries are through that came before the switch: they visit the former versions.

        Their deadline ends them all. Before that, an instant will do at which no query is in the pipeline.
        """
        record = self._site.admin.get_pipeline(self._name)
        deadline_s = 0.0 if record is None else (record["deadline_micros"] or 0) / 1e6
        began_s = self._clock()
        while (waited_s := self._clock() - began_s) < deadline_s:
            if waited_s >= _SETTLING_S and self._is_quiet():
                return
            self._pause(POLL_S)

    def _is_quiet(self) -> bool:
        try:
            return look_at(self._site.query_url).is_quiet(self._models)
        except InferlineError:  # then the deadline has to do
            return False
