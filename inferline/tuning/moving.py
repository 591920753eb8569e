"""Moving a live deployment to a plan that was made for its traffic, as `inferline deploy` would.

What fails before the switch is taken back: what was started for the new plan is stopped, and the old one stays in
force. After the switch nothing is taken back and nothing more is done; it is said how it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any

from inferline.errors import InferlineError, InputError, OutsideError
from serving_adapter.client.admin import AdminClient
from serving_adapter.deployment import (
    Files,
    Running,
    Site,
    Standing,
    Step,
    Wanted,
    carry_out,
    plan_steps,
    read_files,
    read_running,
    wanted_of,
)
from serving_adapter.deployment.versions import versions_of
from serving_adapter.replicas import CoreAddress, SetKey, Target
from tuner.plans import Moved

__all__ = ["Mover", "kept_counts"]

_BACK_S = 20.0
"""How long replicas may take that are stopped, or started again, on the way back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """How to move one deployment.

    Parameters
    ----------
    pipeline
        pipeline.yaml, as it is deployed.
    target, core, query_url
        Where replicas run, and the core as they and we reach it.
    admin
        Opens a client of its administration.
    present
        Returns the plan in force, as it is registered.
    changing
        Has us be the only one who changes the deployment; what it gives raises OutsideError when we are no more.
    words
        Says what a step does.
    timeout_s
        How long replicas may take until they can serve, and until they have ended.
    next_step
        What ends a move that has stopped after the switch, in words.
    """

    pipeline: Path
    target: Target
    core: CoreAddress
    query_url: str
    admin: Callable[[], AdminClient]
    present: Callable[[], Mapping[str, Any]]
    changing: Callable[[], AbstractContextManager[Callable[[], None]]]
    words: Callable[[Step], str]
    timeout_s: float = 300.0
    next_step: str = "inferline deploy"

    def move(self, plan: Path, tell: Callable[[str], None], halt: Event) -> Moved:
        """Move over to a plan; see `tuner.plans.Replanner`."""
        try:
            files = read_files(self.pipeline, plan)
            with self.changing() as still_ours, self.admin() as admin:
                return self._moved(files, admin, still_ours, tell, halt)
        except InferlineError as error:
            return Moved(failure=str(error), message="nothing was changed")

    def _moved(
        self,
        files: Files,
        admin: AdminClient,
        still_ours: Callable[[], None],
        tell: Callable[[str], None],
        halt: Event,
    ) -> Moved:
        before = read_running(self.target, admin, files.pipeline.name, files.stages)
        wanted = self._wanted(files, before)
        steps = plan_steps(before.standing, wanted.standing, files.stages, files.limits)
        if gaps := [self.words(step) for step in steps if step.is_gap]:
            raise InputError(
                f"a hardware limit would leave a stage without replicas for a while: {'; '.join(gaps)}; "
                "inferline deploy --allow-gaps does it all the same"
            )

        def check() -> None:
            if halt.is_set():
                raise OutsideError("this daemon is to change nothing more")
            still_ours()

        site = Site(
            target=self.target,
            core=self.core,
            admin=admin,
            query_url=self.query_url,
            timeout_s=self.timeout_s,
            check=check,
        )

        def pause(seconds: float) -> None:
            if halt.wait(seconds):
                check()

        try:
            carry_out(steps, site, files, wanted, before.sets(files), _Told(tell, self.words), pause=pause)
        except InferlineError as error:
            return Moved(failure=str(error), message=self._after_failure(files, before, site, still_ours))
        return Moved(message=f"the new plan is in force; {len(steps)} steps were done")

    def _wanted(self, files: Files, before: Running) -> Wanted:
        """Return what is to run; nothing but the plan may be new."""
        if before.record is None:
            raise OutsideError("the pipeline is not registered at its serving core any more")
        if before.record["plan"] != self.present():
            raise OutsideError("another plan has been deployed since this one was made")
        if before.record["pipeline"] != files.document:
            raise InputError(
                f"{self.pipeline} has changed since it was deployed; inferline deploy takes that over, no daemon does"
            )
        versions = versions_of(
            files.document, files.hardware, before.record["pipeline"], before.standing.versions, {}
        )
        wanted = wanted_of(files, versions)
        counts = kept_counts(files, before, wanted)
        sets = {key: replace(each, replicas=counts[key]) for key, each in wanted.sets.items()}
        return Wanted(standing=replace(wanted.standing, replicas=counts), sets=sets)

    def _after_failure(self, files: Files, before: Running, site: Site, still_ours: Callable[[], None]) -> str:
        """Go back where the old plan is still in force; return how it stands."""
        try:
            now = read_running(self.target, site.admin, files.pipeline.name, files.stages)
            if now.standing.digest != before.standing.digest:
                return f"queries go to the new plan, what is too many may still be there; {self.next_step} ends that"
            moved = {key.stage for key in now.standing.replicas.keys() ^ before.standing.replicas.keys()}
            moved |= {stage for stage, _ in now.standing.models ^ before.standing.models}
            former = _former(now.standing, before.standing, moved | _batched(files, before))
            sets = {key: each for key, each in before.sets(files).items() if key in former.replicas}
            back = Wanted(
                standing=former,
                sets={key: replace(each, replicas=former.replicas[key]) for key, each in sets.items()},
            )
            steps = plan_steps(now.standing, former, files.stages, files.limits)
            site = replace(site, check=still_ours, timeout_s=min(_BACK_S, self.timeout_s))
            carry_out(steps, site, files, back, now.sets(files), _Told(lambda _: None, self.words))
        except InferlineError as error:
            return f"the old plan is in force where it was not changed; what was started may still be there: {error}"
        return "the old plan is in force; what was started for the new one was stopped"


class _Told:
    """An observer of `carry_out` that tells of every step."""

    def __init__(self, tell: Callable[[str], None], words: Callable[[Step], str]) -> None:
        self._tell = tell
        self._words = words

    def began(self, step: Step) -> None:
        """Tell of it."""
        self._tell(self._words(step))

    def ready(self, key: SetKey, count: int) -> None:
        """Keep it."""

    def done(self, step: Step) -> None:
        """Keep it."""


def kept_counts(files: Files, before: Running, wanted: Wanted) -> dict[SetKey, int]:
    """Return how many replicas each set is to have after a move.

    A stage that keeps its hardware and its batches keeps the replicas that it has: they are the tuner's business. One
    that keeps its hardware only has no fewer than before, and no fewer than planned. Where a hardware's limit leaves
    less, all on that hardware have what was planned.

    Parameters
    ----------
    files
        The new plan.
    before, wanted
        What there is, and what was planned.
    """
    changed = _batched(files, before)
    planned = dict(wanted.standing.replicas)
    counts = dict(planned)
    for key, count in planned.items():
        there = before.standing.replicas.get(key, 0)
        if there:
            counts[key] = max(there, count) if key.stage in changed else there
    for hardware, limit in files.limits.items():
        of = [key for key in counts if key.hardware == hardware]
        if sum(counts[key] for key in of) > limit:
            counts.update({key: planned[key] for key in of})
    return counts


def _batched(files: Files, before: Running) -> set[str]:
    """Return the stages whose maximum batch size is another than before."""
    registered = {} if before.record is None else before.record["plan"].get("stages", {})
    return {
        stage
        for stage, chosen in files.configuration.items()
        if registered.get(stage, {}).get("max_batch") != chosen.max_batch
    }


def _former(now: Standing, before: Standing, moved: set[str]) -> Standing:
    """Return how it stood, but for stages that were not moved: what they have by now, the tuner has asked for."""
    return replace(before, replicas=dict(_former_counts(now, before, moved)))


def _former_counts(now: Standing, before: Standing, moved: set[str]) -> Iterator[tuple[SetKey, int]]:
    for key, count in before.replicas.items():
        yield key, count if key.stage in moved else now.replicas.get(key, count)
