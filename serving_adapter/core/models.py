"""From one input to one output of a model version, between a clock and a transport.

One path for every input, whoever asks: lookup in the prediction cache, queue of the model version, batch, replica,
cache, all who wait for that output.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from serving_adapter.core.cache import Absent, PredictionCache, prediction_key
from serving_adapter.core.queries import Pending
from serving_adapter.core.scheduling import ATTEMPTS, Dispatch
from serving_adapter.core.versions import StageFigures, Version, VersionSpec
from serving_adapter.core.world import ModelKey, Observer, Timers, Transport

__all__ = ["Asker", "Models"]

_MESSAGE_IDS = 2**32

_log = logging.getLogger(__name__)


class Asker(Protocol):
    """Who waits for an output; ``about`` is what it has said that the output is for."""

    open: bool
    """Whether it still has a use for outputs."""

    deadline_ns: int
    """When it stops having one."""

    def answered(self, about: Any, output: bytes, waited_ns: int, service_ns: int) -> None:  # noqa: ANN401
        """Take an output; both times are 0 for one that was known."""

    def unanswered(self, about: Any, reason: str) -> None:  # noqa: ANN401
        """Do without an output: it is ``late``, ``lost`` with its replicas, ``full``, or nobody is ``there``."""


_Waiter = tuple[Asker, Any]


class Models:
    """The versions of all models, their queues and their replicas.

    Parameters
    ----------
    timers, transport, observer
        The world outside.
    cache
        The prediction cache.
    rng
        Source of what batch policies draw.
    """

    def __init__(
        self,
        timers: Timers,
        transport: Transport,
        observer: Observer,
        cache: PredictionCache,
        rng: np.random.Generator,
    ) -> None:
        self.cache = cache
        self._timers = timers
        self._transport = transport
        self._observer = observer
        self._rng = rng
        self._versions: dict[ModelKey, Version] = {}
        self._current: Mapping[str, str] = {}
        self._replicas: dict[bytes, tuple[Version, int]] = {}
        self._next_message = 0

    # Inputs

    def __contains__(self, key: ModelKey) -> bool:
        """Whether there is such a version."""
        return key in self._versions

    def key(self, model: str, version: str | None = None) -> ModelKey:
        """Return a version of a model: the current one if none is named."""
        return model, version or self._current.get(model, "")

    def has_room(self, keys: Sequence[ModelKey], count: int) -> bool:
        """Whether so many more inputs may wait for one of these versions at least."""
        asked = [self._versions.get(key) for key in keys]
        full = [at for at in asked if at is not None and self._is_full(at, count)]
        if not full or len(full) < len(asked):
            return True
        for at in full:
            self._observer.dropped(at.key, count, "full")
        return False

    def _is_full(self, at: Version, count: int) -> bool:
        most = at.spec.most_queued
        if most is None or at.schedule.queued + count <= most:
            return False
        at.schedule.expire(self._timers.now_ns())
        self._give_up(at, at.schedule.take_late(), "late")
        return at.schedule.queued + count > most

    def ask(self, key: ModelKey, content: bytes, asker: Asker, about: Any, now_ns: int) -> bool:  # noqa: ANN401
        """Have an output sent to ``asker``, maybe before this returns; False when nobody will answer."""
        at = self._versions.get(key)
        if not content:
            # Clipper's protocol refuses a batch without bytes: left to the deadline.
            return at is not None and bool(at.identities)
        owner: Any
        if at is not None and not at.spec.cached:
            owner = (asker, about)
        else:
            owner = prediction_key(key, content)
            found = self.cache.lookup(owner, (asker, about))
            if at is not None:
                at.lookups += 1
            if found is Absent.JOINED:
                return True
            if found is not Absent.MISS:
                if at is not None:
                    at.hits += 1
                asker.answered(about, found.output, 0, 0)
                return True
        if at is not None and (at.identities or at.spec.patient):
            at.arrivals.add(now_ns)
            if at.schedule.offer(Pending(content, now_ns, asker.deadline_ns, owner)):
                self._dispatch_soon(at)
                return True
            self._observer.dropped(key, 1, "full")
        if at is None or at.spec.cached:
            self.cache.abandon(owner)
        return False

    # Batches

    def _dispatch_soon(self, at: Version) -> None:
        """Dispatch once all that has arrived together is queued: the batch is then as large as it can be."""
        if not at.asked_to_dispatch:
            at.asked_to_dispatch = True
            self._timers.soon(self._dispatch, at)

    def _dispatch(self, at: Version) -> None:
        at.asked_to_dispatch = False
        while True:
            now_ns = self._timers.now_ns()
            dispatch = at.schedule.next_dispatch(now_ns, self._next_message)
            if dispatch is None:
                break
            self._next_message = (self._next_message + 1) % _MESSAGE_IDS
            if dispatch.batch:
                self._send(at, dispatch)
            else:
                at.schedule.answered(dispatch.replica, dispatch.message_id, now_ns)  # all of it had become late
        self._give_up(at, at.schedule.take_late(), "late")
        self._set_alarm(at)

    def _send(self, at: Version, dispatch: Dispatch) -> None:
        inputs = [pending.input for pending in dispatch.batch]
        inputs += inputs[-1:] * (dispatch.size - len(inputs))
        self._transport.send(at.identities[dispatch.replica], dispatch.message_id, at.key, inputs)

    def _set_alarm(self, at: Version) -> None:
        """Ask again when a batch has waited long enough, even if nothing happens until then."""
        at.quiet()
        if at.schedule.wake_at_ns is not None:
            at.wake = self._timers.call_at(at.schedule.wake_at_ns, self._dispatch, at)

    def _give_up(self, at: Version, batch: Sequence[Pending], reason: str) -> None:
        """Stop trying; whoever joined these queries and still has time is asked for again.

        Not those who joined an input that takes replicas down: it would take down more. They are left to their
        deadlines.
        """
        if not batch:
            return
        self._observer.dropped(at.key, len(batch), reason)
        now_ns = self._timers.now_ns()
        for pending in batch:
            waiters = self._waiters(at, pending)
            if not at.spec.cached:
                _tell(waiters, reason)
            elif pending.attempts < ATTEMPTS:
                self._ask_again(at, pending, waiters, now_ns)

    def _ask_again(self, at: Version, pending: Pending, waiters: Sequence[_Waiter], now_ns: int) -> None:
        asker_deadline = pending.deadline_ns
        for asker, about in waiters:
            later = asker_deadline is None or asker.deadline_ns > asker_deadline
            in_time = asker.open and later and asker.deadline_ns > now_ns
            if in_time and not self.ask(at.key, pending.input, asker, about, now_ns):
                asker.unanswered(about, "there")

    def _waiters(self, at: Version, pending: Pending) -> Sequence[_Waiter]:
        """Return who waits for an output that will not come."""
        return self.cache.abandon(pending.owner) if at.spec.cached else [pending.owner]

    # Replicas

    def answered(self, identity: bytes, message_id: int, outputs: Sequence[bytes]) -> None:
        """Take the outputs of one batch; an answer that nobody asked for changes nothing."""
        place = self._replicas.get(identity)
        if place is None:
            return
        at, replica = place
        dispatch = at.schedule.in_flight(replica)
        if dispatch is None or dispatch.message_id != message_id:
            _log.warning("event=answer_ignored model=%s:%s replica=%d message=%d", *at.key, replica, message_id)
            return
        if dispatch.size != len(outputs):
            reason = f"answered {len(outputs)} outputs for {dispatch.size} inputs"
            self._transport.forget(identity)
            self.gone(identity, reason)
            return
        now_ns = self._timers.now_ns()
        batch = at.schedule.answered(replica, message_id, now_ns) or []
        sent_ns = dispatch.sent_ns
        service_ns = now_ns - sent_ns
        at.busy_ns += service_ns
        waited_ns = [sent_ns - pending.arrived_ns for pending in batch]
        self._observer.batch_answered(at.key, len(batch), service_ns, waited_ns)
        self._dispatch(at)  # before the answers are handed on: the replica is what everybody waits for
        cached, complete = at.spec.cached, self.cache.complete
        for pending, output, waited in zip(batch, outputs, waited_ns, strict=False):  # outputs of copies come last
            waiters = complete(pending.owner, bytes(output)) if cached else (pending.owner,)
            for asker, about in waiters:
                asker.answered(about, output, waited, service_ns)

    def add_replica(self, identity: bytes, key: ModelKey, replica: int) -> bool:
        """Let a replica serve; False when its version is not registered (yet)."""
        at = self._versions.get(key)
        if at is None:
            return False
        at.identities[replica] = identity
        at.schedule.add(replica, at.spec.batch_policy(self._rng))
        self._replicas[identity] = (at, replica)
        self._dispatch_soon(at)
        return True

    def gone(self, identity: bytes, reason: str) -> None:
        """Forget a replica; its batch in flight goes to another one while there is time."""
        place = self._replicas.pop(identity, None)
        if place is None:
            return
        at, replica = place
        del at.identities[replica]
        lost = at.schedule.lost(replica, self._timers.now_ns())
        _log.warning(
            "event=replica_gone model=%s:%s replica=%d requeued=%d given_up=%d reason=%s",
            *at.key,
            replica,
            len(lost.requeued),
            len(lost.failed),
            reason,
        )
        self._give_up(at, lost.failed, "lost")
        if at.identities:
            self._dispatch_soon(at)
        elif not at.spec.patient:
            # Nobody is left to answer: Clipper's clients get the default at once instead of at the deadline.
            self._do_without(at, at.schedule.clear())

    def _do_without(self, at: Version, batch: Sequence[Pending]) -> None:
        for pending in batch:
            _tell(self._waiters(at, pending), "there")

    # Configuration

    def set_versions(self, specs: Mapping[ModelKey, VersionSpec], current: Mapping[str, str]) -> list[bytes]:
        """Serve these versions from now on; return the identities of replicas whose version is no more."""
        orphans: list[bytes] = []
        for key, at in list(self._versions.items()):
            spec = specs.get(key)
            if spec is None or (spec.input_type, spec.cached) != (at.spec.input_type, at.spec.cached):
                orphans += self._drop(at)
            elif spec != at.spec:
                at.change(spec, self._rng)
                self._dispatch_soon(at)
        for key, spec in specs.items():
            if key not in self._versions:
                self._versions[key] = Version.of(key, spec)
        self._current = dict(current)
        return orphans

    def _drop(self, at: Version) -> list[bytes]:
        """Serve a version no more; return the identities of its replicas."""
        del self._versions[at.key]
        at.quiet()
        identities = list(at.identities.values())
        waiting = at.schedule.clear()
        for replica, identity in at.identities.items():
            del self._replicas[identity]
            waiting += at.schedule.remove(replica)
        at.identities.clear()
        self._do_without(at, waiting)
        _tell(self.cache.forget(at.key), "there")
        return identities

    def observe(self, key: ModelKey, since: int) -> Mapping[str, Any]:
        """Return what has happened to a version, its arrivals from a number on; nothing when it is not there."""
        at = self._versions.get(key)
        if at is None:
            return {}
        first, arrivals_ns = at.arrivals.since(since)
        return {
            "version": key[1],
            "first": first,
            "arrivals_ns": arrivals_ns,
            "queued": at.schedule.queued,
            "in_service": at.schedule.in_service,
            "replicas": len(at.identities),
            "busy_ns": at.busy_ns,
        }

    def gauges(self) -> Mapping[ModelKey, tuple[int, int, int]]:
        """Return queue length, replicas and idle replicas of each version."""
        return {key: (at.schedule.queued, len(at.identities), at.schedule.idle) for key, at in self._versions.items()}

    def figures(self, since_ns: int) -> Mapping[ModelKey, StageFigures]:
        """Return what scrapers are told of each version, its arrivals from an instant on."""
        return {
            key: StageFigures(
                arrivals=at.arrivals.count,
                in_service=at.schedule.in_service,
                busy_ns=at.busy_ns,
                recent_ns=at.arrivals.after(since_ns),
            )
            for key, at in self._versions.items()
        }

    def cache_use(self) -> Mapping[ModelKey, tuple[int, int]]:
        """Return hits and lookups of each version."""
        return {key: (at.hits, at.lookups) for key, at in self._versions.items()}


def _tell(waiters: Sequence[_Waiter], reason: str) -> None:
    for asker, about in waiters:
        if asker.open:
            asker.unanswered(about, reason)
