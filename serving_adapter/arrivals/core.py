"""Arrivals read from the serving core itself: each of them, and none twice."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from inferline.errors import OutsideError
from serving_adapter.arrivals.seen import KEPT_NS, PipelineSeen, StageSeen, utilisation
from serving_adapter.client.admin import AdminClient
from serving_adapter.client.documents import ObservationDocument, StageObservationDocument

__all__ = ["CoreArrivals"]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Kept:
    """What is known of a stage: its last arrivals, the number of the next one, and what it was then."""

    version: str = ""
    following: int = 0
    arrival_ns: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    seen_ns: int = 0
    busy_ns: int = 0


class CoreArrivals:
    """The arrivals of a pipeline, by its serving core's ``POST /admin/observe_pipeline``.

    Arrivals are numbered there, and asked for from the first that is not known: no burst between two looks is lost,
    however short. When another process of the core answers, or a stage's visits go to another version of its model,
    numbers begin anew, and so does what is known.

    Parameters
    ----------
    admin
        The core; closed with this.
    pipeline
        Name.
    """

    def __init__(self, admin: AdminClient, pipeline: str) -> None:
        self._admin = admin
        self._pipeline = pipeline
        self._start = ""
        self._kept: dict[str, _Kept] = {}
        self._lock = Lock()

    def look(self) -> PipelineSeen:
        """Return what is to be seen now; a look that another thread has begun is waited for.

        Raises
        ------
        OutsideError
            When the core cannot be reached, or the pipeline, or the model of one of its stages, is not there.
        """
        with self._lock:
            return self._look()

    def _look(self) -> PipelineSeen:
        seen = self._asked()
        if seen["start"] != self._start:
            if self._start:
                _log.warning("event=core_started_again pipeline=%s", self._pipeline)
            self._start, self._kept = seen["start"], {}
            seen = self._asked()
        moved = [name for name, stage in seen["stages"].items() if self._moved(name, stage)]
        if moved:
            for name in moved:
                self._kept.pop(name, None)
            seen = self._asked()
        now_ns = seen["now_ns"]
        stages = {name: self._stage(name, stage, now_ns) for name, stage in seen["stages"].items()}
        return PipelineSeen(start=self._start, now_ns=now_ns, age_ns=0, stages=stages)

    def close(self) -> None:
        """Close the connection."""
        self._admin.close()

    def _asked(self) -> ObservationDocument:
        since = {name: kept.following for name, kept in self._kept.items()}
        seen = self._admin.observe_pipeline(self._pipeline, since=since)
        if seen is None:
            raise OutsideError(f"pipeline {self._pipeline!r} is not registered at {self._admin.url}")
        if gone := [name for name, stage in seen["stages"].items() if "first" not in stage]:
            raise OutsideError(f"the models of stages {', '.join(gone)} are not registered at {self._admin.url}")
        return seen

    def _moved(self, name: str, stage: StageObservationDocument) -> bool:
        """Whether the numbers of a stage are those of another version."""
        kept = self._kept.get(name)
        return kept is not None and (kept.version != stage["version"] or stage["busy_ns"] < kept.busy_ns)

    def _stage(self, name: str, stage: StageObservationDocument, now_ns: int) -> StageSeen:
        kept = self._kept.get(name) or _Kept(version=stage["version"])
        if stage["first"] > kept.following and kept.seen_ns:
            lost = stage["first"] - kept.following
            _log.warning("event=arrivals_lost pipeline=%s stage=%s count=%d", self._pipeline, name, lost)
        arrival_ns = np.concatenate((kept.arrival_ns, np.array(stage["arrivals_ns"], dtype=np.int64)))
        arrival_ns = arrival_ns[np.searchsorted(arrival_ns, now_ns - KEPT_NS, side="right") :]
        busy = 0.0
        if kept.seen_ns:
            busy = utilisation(stage["busy_ns"] - kept.busy_ns, stage["replicas"], now_ns - kept.seen_ns)
        self._kept[name] = _Kept(
            version=kept.version,
            following=stage["first"] + len(stage["arrivals_ns"]),
            arrival_ns=arrival_ns,
            seen_ns=now_ns,
            busy_ns=stage["busy_ns"],
        )
        arrival_ns.flags.writeable = False
        return StageSeen(
            arrival_ns=arrival_ns,
            queued=stage["queued"],
            in_service=stage["in_service"],
            replicas=stage["replicas"],
            utilisation=busy,
        )
