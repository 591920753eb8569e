"""Applications: from a query to the models that are asked, and from their outputs, or the deadline, to one reply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from serving_adapter.core.endpoints import Endpoint, Prediction, QueryRefusedError
from serving_adapter.core.models import Models
from serving_adapter.core.world import Observer, Timer, Timers

__all__ = ["LATE", "NO_MODELS", "ServingCore"]

NO_MODELS = "No connected models found for query"
LATE = "Failed to retrieve a prediction response within the specified latency SLO"


@dataclass(slots=True, eq=False)
class _Query:
    """One input on its way; what it asks its models about is their name."""

    core: ServingCore
    number: int
    endpoint: Endpoint
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

    def answered(self, about: str, output: bytes, waited_ns: int, service_ns: int) -> None:  # noqa: ARG002
        """Take the output of one model."""
        if self.open:
            self.answers[about] = output
            if len(self.answers) == self.waits_for:
                self.core.finish(self, "")

    def unanswered(self, about: str, reason: str) -> None:  # noqa: ARG002
        """Go on without the output of one model."""
        self.waits_for -= 1
        self.core.settle(self)


class ServingCore:
    """Queries in, predictions out.

    Parameters
    ----------
    models
        Who is asked.
    timers, observer
        The world outside.
    rng
        Source of the policies' draws.
    """

    def __init__(self, models: Models, timers: Timers, observer: Observer, rng: np.random.Generator) -> None:
        self.models = models
        self._timers = timers
        self._observer = observer
        self._rng = rng
        self._next_query = 0
        self.in_flight = 0

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
        if (endpoint.models[0], version) not in self.models:
            raise QueryRefusedError(f"Requested version: {version} does not exist for model: {endpoint.models[0]}")

    def has_room(self, endpoint: Endpoint, version: str | None, count: int) -> bool:
        """Whether so many more queries may wait for one of the models at least."""
        return self.models.has_room([self.models.key(model, version) for model in endpoint.models], count)

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
            done(Prediction(self.number(), b"1"))
            return
        self._begin(endpoint, content, done, None, uid, label)

    def number(self) -> int:
        """Return the number of the next query."""
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
        asked = endpoint.chosen(uid, self._rng)
        now_ns = self._timers.now_ns()
        query = _Query(self, self.number(), endpoint, now_ns, now_ns + endpoint.slo_ns, done, uid, label)
        self.in_flight += 1
        query.models = asked
        query.waits_for = len(asked)
        models = self.models
        for model in asked:
            if not models.ask(models.key(model, version), content, query, model, now_ns):
                query.waits_for -= 1
        self.settle(query)
        if query.open:
            query.timer = self._timers.call_at(query.deadline_ns, self.finish, query, LATE)

    def settle(self, query: _Query) -> None:
        """Complete a query if nothing more will come."""
        if not query.waits_for:
            self.finish(query, NO_MODELS)
        elif len(query.answers) == query.waits_for:
            self.finish(query, "")

    def finish(self, query: _Query, explanation: str) -> None:
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
