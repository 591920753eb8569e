"""The serving core: from a query to the replicas of its models and back, between a clock and a transport.

One path for every query: lookup in the prediction cache, queue of the model version, batch, replica, cache, all who
wait for that output. Whichever comes first, the last output or the deadline, completes the query.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from serving_adapter.core.cache import Absent, PredictionCache, prediction_key
from serving_adapter.core.endpoints import Endpoint, Prediction, QueryRefusedError
from serving_adapter.core.queries import Pending
from serving_adapter.core.scheduling import ATTEMPTS, Dispatch
from serving_adapter.core.versions import Version, VersionSpec
from serving_adapter.core.world import ModelKey, Observer, Timer, Timers, Transport

__all__ = ["LATE", "NO_MODELS", "ServingCore"]

NO_MODELS = "No connected models found for query"
LATE = "Failed to retrieve a prediction response within the specified latency SLO"

_MESSAGE_IDS = 2**32

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Query:
    """One input on its way."""

    number: int
    endpoint: Endpoint
    content: bytes
    started_ns: int
    deadline_ns: int
    done: Callable[[Prediction], None]
    uid: int
    label: float | None = None
    timer: Timer | None = None
    waits_for: int = 0
    models: Sequence[str] = ()
    answers: dict[str, bytes] = field(default_factory=dict)
    open: bool = True


_Waiter = tuple[_Query, str]
"""A query and the model whose output it waits for."""


class ServingCore:
    """Queries in, predictions out.

    Parameters
    ----------
    timers, transport, observer
        The world outside.
    cache
        The prediction cache.
    rng
        Source of the policies' draws.
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
        self._next_query = 0
        self._next_message = 0
        self.in_flight = 0

    # Queries

    def check(self, endpoint: Endpoint, version: str | None) -> None:
        """Refuse a request that pins a version which cannot be, or to an application whose policy is not known.

        Raises
        ------
        QueryRefusedError
            With Clipper's texts.
        """
        if not endpoint.known:
            name = endpoint.application.name
            raise QueryRefusedError(f"No selection state found for query with user_id: 0 and label: {name}")
        if version is None:
            return
        if len(endpoint.models) != 1:
            many = "Too many models" if endpoint.models else "No model"
            raise QueryRefusedError(f"{many} linked to application {endpoint.application.name}")
        if (endpoint.models[0], version) not in self._versions:
            raise QueryRefusedError(f"Requested version: {version} does not exist for model: {endpoint.models[0]}")

    def has_room(self, endpoint: Endpoint, version: str | None, count: int) -> bool:
        """Whether so many more queries may wait for one of the models at least."""
        asked = [self._versions.get((model, version or self._current.get(model, ""))) for model in endpoint.models]
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

    def predict(
        self,
        endpoint: Endpoint,
        content: bytes,
        done: Callable[[Prediction], None],
        *,
        version: str | None = None,
        uid: int = 0,
    ) -> None:
        """Have one input predicted; ``done`` is called exactly once, maybe before this returns."""
        self._begin(endpoint, content, done, version, uid, None)

    def feedback(
        self, endpoint: Endpoint, content: bytes, label: float, done: Callable[[Prediction], None], *, uid: int = 0
    ) -> None:
        """Teach an endpoint's policy the true label of an input; ``done`` is called when it has learnt."""
        if endpoint.policy is None:
            done(Prediction(self._number(), b"1"))
            return
        self._begin(endpoint, content, done, None, uid, label)

    def _number(self) -> int:
        number = self._next_query
        self._next_query = number + 1
        return number

    def _begin(
        self,
        endpoint: Endpoint,
        content: bytes,
        done: Callable[[Prediction], None],
        version: str | None,
        uid: int,
        label: float | None,
    ) -> None:
        models = endpoint.chosen(uid, self._rng)
        now_ns = self._timers.now_ns()
        query = _Query(self._number(), endpoint, content, now_ns, now_ns + endpoint.slo_ns, done, uid, label)
        self.in_flight += 1
        query.models = models
        query.waits_for = len(models)
        for model in query.models:
            if not self._ask((model, version or self._current.get(model, "")), query, now_ns):
                query.waits_for -= 1
        if not query.waits_for:
            self._finish(query, NO_MODELS)
        elif len(query.answers) == query.waits_for:
            self._finish(query, "")
        else:
            query.timer = self._timers.call_at(query.deadline_ns, self._finish, query, LATE)

    def _ask(self, key: ModelKey, query: _Query, now_ns: int) -> bool:
        """Look an output up, join those who wait for it, or let the input wait; False when nobody will answer."""
        at = self._versions.get(key)
        if not query.content:
            # Clipper's protocol refuses a batch without bytes: left to the deadline.
            return at is not None and bool(at.identities)
        cached = prediction_key(key, query.content)
        found = self.cache.lookup(cached, (query, key[0]))
        if at is not None:
            at.lookups += 1
        if found is Absent.JOINED:
            return True
        if found is not Absent.MISS:
            if at is not None:
                at.hits += 1
            query.answers[key[0]] = found.output
            return True
        if at is not None and at.identities:
            if at.schedule.offer(Pending(query.content, now_ns, query.deadline_ns, cached)):
                self._dispatch_soon(at)
                return True
            self._observer.dropped(key, 1, "full")
        self.cache.abandon(cached)
        return False

    def _answer(self, query: _Query, model: str, output: bytes) -> None:
        if query.open:
            query.answers[model] = output
            if len(query.answers) == query.waits_for:
                self._finish(query, "")

    def _finish(self, query: _Query, explanation: str) -> None:
        """Complete a query with the outputs that are there; the explanation is for when there is none."""
        if not query.open:
            return
        query.open = False
        self.in_flight -= 1
        if query.timer is not None:
            query.timer.cancel()
        endpoint = query.endpoint
        if query.label is not None:
            endpoint.learn(query.uid, query.label, query.models, query.answers)
            output: bytes | None = b"1"
        else:
            output = endpoint.combined(query.uid, query.models, query.answers)
            latency_ns = self._timers.now_ns() - query.started_ns
            self._observer.predicted(endpoint.application.name, latency_ns, default=output is None)
        if output is None:
            query.done(Prediction(query.number, endpoint.default_output, True, explanation))
        else:
            query.done(Prediction(query.number, output))

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
            waiters = self.cache.abandon(pending.owner)
            if pending.attempts >= ATTEMPTS:
                continue
            asker_deadline = pending.deadline_ns
            for query, _ in waiters:
                later = asker_deadline is None or query.deadline_ns > asker_deadline
                if query.open and later and query.deadline_ns > now_ns and not self._ask(at.key, query, now_ns):
                    self._without(query)

    def _without(self, query: _Query) -> None:
        """Go on without the output of one model."""
        query.waits_for -= 1
        if not query.waits_for:
            self._finish(query, NO_MODELS)
        elif len(query.answers) == query.waits_for:
            self._finish(query, "")

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
        waited_ns = [dispatch.sent_ns - pending.arrived_ns for pending in batch]
        self._observer.batch_answered(at.key, len(batch), now_ns - dispatch.sent_ns, waited_ns)
        self._dispatch(at)  # before the answers are handed on: the replica is what everybody waits for
        complete = self.cache.complete
        for pending, output in zip(batch, outputs, strict=False):  # outputs of copies come last
            for query, model in complete(pending.owner, bytes(output)):
                self._answer(query, model, output)

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
        else:
            # Nobody is left to answer: Clipper's clients get the default at once instead of at the deadline.
            self._default(at.schedule.clear())

    def _default(self, batch: Sequence[Pending]) -> None:
        for pending in batch:
            for query, _ in self.cache.abandon(pending.owner):
                if query.open:
                    self._without(query)

    # Configuration

    def set_versions(self, specs: Mapping[ModelKey, VersionSpec], current: Mapping[str, str]) -> list[bytes]:
        """Serve these versions from now on; return the identities of replicas whose version is no more."""
        orphans: list[bytes] = []
        for key, at in list(self._versions.items()):
            spec = specs.get(key)
            if spec is None or spec.input_type != at.spec.input_type:
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
        self._default(waiting)
        for query, _ in self.cache.forget(at.key):
            if query.open:
                self._without(query)
        return identities

    def gauges(self) -> Mapping[ModelKey, tuple[int, int, int]]:
        """Return queue length, replicas and idle replicas of each version."""
        return {key: (at.schedule.queued, len(at.identities), at.schedule.idle) for key, at in self._versions.items()}

    def cache_use(self) -> Mapping[ModelKey, tuple[int, int]]:
        """Return hits and lookups of each version."""
        return {key: (at.hits, at.lookups) for key, at in self._versions.items()}
