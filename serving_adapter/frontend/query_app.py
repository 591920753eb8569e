"""The query interface (port 1337): predict, update, metrics, health."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Generic, Protocol, TypeVar

from serving_adapter.core.endpoints import Endpoint, Prediction, QueryRefusedError
from serving_adapter.core.pipelines import PipelineCore, ServedPipeline
from serving_adapter.core.pipelines import Reply as WalkReply
from serving_adapter.core.serving import ServingCore
from serving_adapter.frontend.http import BodyError, Limits, Receive, Reply, Scope, Send, read_body, send_reply
from serving_adapter.frontend.pipeline_requests import parse_walk, replies_body
from serving_adapter.frontend.reply import error_body, predictions_body
from serving_adapter.frontend.request import QUERY_ERROR, RequestError, parse_feedback, parse_predict

__all__ = ["QueryApp", "Site"]

NOT_FOUND = Reply(404, b"Not found")
UNEXPECTED = Reply(500, b"An unexpected error occurred!")
DRAINING = Reply(503, b"The server is shutting down.", headers=[(b"connection", b"close")])
FULL = Reply(429, b"Too many queries are waiting.", headers=[(b"retry-after", b"1")])

_Verb = Callable[[bytes], Awaitable[Reply]]
_Ended = TypeVar("_Ended")

_log = logging.getLogger(__name__)


class Site(Protocol):
    """What the query interface asks of the server that it belongs to."""

    core: ServingCore
    pipelines: PipelineCore
    draining: bool

    def metrics(self, accept: str) -> tuple[bytes, bytes]:
        """Return the metrics and their content type for an Accept header."""

    def ready(self) -> bool:
        """Whether the server can take queries."""

    async def recall(self, endpoint: Endpoint, uid: int) -> bool:
        """Have what is kept for a user at hand; False when it is not known whether there is anything."""


class QueryApp:
    """An ASGI application; the last two parts of a path are a name, of an application or a pipeline, and the verb."""

    def __init__(self, site: Site, limits: Limits) -> None:
        self._site = site
        self._limits = limits
        self._routes: dict[str, _Verb] = {}

    def route(self, endpoints: Mapping[str, Endpoint], pipelines: Mapping[str, ServedPipeline]) -> None:
        """Answer for these applications and pipelines from now on; an application goes before a pipeline."""
        verbs = {f"/{name}/predict": partial(self._walk, pipeline) for name, pipeline in pipelines.items()}
        for name, endpoint in endpoints.items():
            verbs[f"/{name}/predict"] = partial(self._predict, endpoint)
            verbs[f"/{name}/update"] = partial(self._update, endpoint)
        self._routes = {path + slash: verb for path, verb in verbs.items() for slash in ("", "/")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            reply = await self._reply(scope, receive)
        except BodyError as error:
            reply = error.reply
        except asyncio.CancelledError:  # the drain has ended
            reply = DRAINING
        except Exception:
            _log.exception("event=request_failed path=%s", scope["path"])
            reply = UNEXPECTED
        await send_reply(send, reply)

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        path, method = scope["path"], scope["method"]
        if method == "GET":
            return self._get(path, scope)
        found = self._routes.get(path)
        if found is None or method != "POST":
            return NOT_FOUND
        if self._site.draining:
            return DRAINING
        return await found(await read_body(scope, receive, self._limits))

    def _get(self, path: str, scope: Scope) -> Reply:
        if path == "/metrics":
            accept = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"), "")
            body, content_type = self._site.metrics(accept)
            return Reply(200, body, content_type)
        if path == "/health":
            return Reply(200, b'{"status":"alive"}')
        if path == "/ready":
            ready = self._site.ready() and not self._site.draining
            return Reply(200, b'{"status":"ready"}') if ready else Reply(503, b'{"status":"not ready"}')
        return NOT_FOUND

    async def _predict(self, endpoint: Endpoint, body: bytes) -> Reply:
        core = self._site.core
        try:
            asked = parse_predict(body, endpoint.application.input_type)
            core.check(endpoint, asked.version)
        except RequestError as error:
            return Reply(400, error_body(error.error, error.cause))
        except QueryRefusedError as error:
            return Reply(400, error_body(QUERY_ERROR, str(error)))
        if len(asked.inputs) > self._most:
            return self._too_many()
        if not core.has_room(endpoint, asked.version, len(asked.inputs)):
            return FULL
        uid = asked.uid if endpoint.policy is not None else 0
        if endpoint.policy is not None:
            await self._site.recall(endpoint, uid)
        predictions = _Gathered[Prediction](len(asked.inputs))
        for place, content in enumerate(asked.inputs):
            core.predict(endpoint, content, predictions.slot(place), version=asked.version, uid=uid)
        return Reply(200, predictions_body(await predictions.all()))

    async def _walk(self, pipeline: ServedPipeline, body: bytes) -> Reply:
        core = self._site.pipelines
        try:
            asked = parse_walk(body)
            inputs = [pipeline.entry_inputs(each) for each in asked.inputs]
        except RequestError as error:
            return Reply(400, error_body(error.error, error.cause))
        except ValueError as error:
            return Reply(400, error_body(QUERY_ERROR, str(error)))
        if len(inputs) > self._most:
            return self._too_many()
        if not core.has_room(pipeline, len(inputs)):
            return FULL
        replies = _Gathered[WalkReply](len(inputs))
        for place, content in enumerate(inputs):
            core.predict(pipeline, content, replies.slot(place))
        return Reply(200, replies_body(await replies.all(), route=asked.route))

    @property
    def _most(self) -> int:
        return min(self._limits.batch, self._limits.queued)

    def _too_many(self) -> Reply:
        return Reply(413, b"A request has at most %d inputs." % self._most)

    async def _update(self, endpoint: Endpoint, body: bytes) -> Reply:
        try:
            feedback = parse_feedback(body, endpoint.application.input_type)
        except RequestError as error:
            return Reply(400, error.cause.encode())
        if not endpoint.known or (endpoint.policy and not await self._site.recall(endpoint, feedback.uid)):
            return Reply(200, b"Feedback received? 0")
        learnt = _Gathered[Prediction](1)
        self._site.core.feedback(endpoint, feedback.input, feedback.label, learnt.slot(0), uid=feedback.uid)
        await learnt.all()
        return Reply(200, b"Feedback received? 1")


class _Gathered(Generic[_Ended]):
    """What the inputs of one request end with, until all have."""

    __slots__ = ("_ended", "_future", "_left")

    def __init__(self, count: int) -> None:
        self._left = count
        self._ended: list[_Ended | None] = [None] * count
        self._future: asyncio.Future[None] | None = None

    def slot(self, place: int) -> Callable[[_Ended], None]:
        """Return what takes the end of one input."""

        def take(ended: _Ended) -> None:
            self._ended[place] = ended
            self._left -= 1
            if not self._left and self._future is not None and not self._future.done():
                self._future.set_result(None)

        return take

    async def all(self) -> list[_Ended]:
        """Return all of them, in the order of the inputs."""
        if self._left:
            self._future = asyncio.get_running_loop().create_future()
            await self._future
        return self._ended  # type: ignore[return-value]  # nothing is left
