"""One serving process: both interfaces, the router, the core and the stored state, in one event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic, monotonic_ns
from typing import Any
from uuid import uuid4

import numpy as np

from inferline.errors import OutsideError
from serving_adapter.cancelling import end
from serving_adapter.core.cache import ENTRY_BYTES, PredictionCache
from serving_adapter.core.endpoints import DEFAULT_POLICY, Endpoint
from serving_adapter.core.models import Models
from serving_adapter.core.pipelines import PipelineCore, ServedPipeline
from serving_adapter.core.serving import ServingCore
from serving_adapter.core.versions import StageFigures
from serving_adapter.core.world import Timer
from serving_adapter.frontend.admin import answer
from serving_adapter.frontend.admin_app import AdminApp
from serving_adapter.frontend.admin_fields import read_fields
from serving_adapter.frontend.admin_replies import AdminReply
from serving_adapter.frontend.configuration import Defaults, endpoints, served_pipelines, version_specs
from serving_adapter.frontend.http import Limits
from serving_adapter.frontend.listening import Listener, Tls, address_of
from serving_adapter.frontend.metrics import Metrics, wants_prometheus
from serving_adapter.frontend.pipeline_admin import OBSERVE_FIELDS, OBSERVE_PATH
from serving_adapter.frontend.query_app import QueryApp
from serving_adapter.frontend.registrations import Registrations
from serving_adapter.frontend.store import Store
from serving_adapter.rpc.router import CHECK_S, SILENCE_S, Router
from serving_adapter.state import PipelineRecord, Snapshot, open_state

__all__ = ["ServeOptions", "Server"]

_LAST_RECORDS_S = 5.0
"""How long the end waits for what is still to be written."""

_LONGEST_S = 30 * 86400.0
"""No timer is set for longer: event loops refuse some."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """How to serve.

    Parameters
    ----------
    host, query_port, admin_port, rpc_port
        Where to listen; port 0 takes a free one.
    state
        Where the configuration is kept.
    cache_bytes
        What the prediction cache may take in memory, entries included.
    defaults
        What holds for applications and models that say nothing else.
    silence_s
        When a silent container is dropped.
    drain_s
        How long queries in flight are waited for at the end.
    limits
        What one client may ask.
    token
        Bearer token of the administration interface.
    tls
        Files for TLS on both interfaces.
    seed
        Seed of everything that is drawn.
    """

    host: str = "127.0.0.1"
    query_port: int = 1337
    admin_port: int = 1338
    rpc_port: int = 7000
    state: str = "memory://"
    cache_bytes: int = 32 * 2**20
    defaults: Defaults = field(default_factory=Defaults)
    silence_s: float = SILENCE_S
    drain_s: float = 30.0
    limits: Limits = field(default_factory=Limits)
    token: str | None = None
    tls: Tls | None = None
    seed: int = 0


class Server:
    """A serving process; `start` and `stop` belong into one event loop.

    Attributes
    ----------
    query_port, admin_port, rpc_port
        Where it listens once it has started.
    """

    def __init__(self, options: ServeOptions) -> None:
        self.options = options
        self.endpoints: dict[str, Endpoint] = {}
        self.draining = False
        self.query_port = self.admin_port = self.rpc_port = 0
        self._start = uuid4().hex
        self._metrics = Metrics(self._gauges, self._cache_counters, self._cache_use, self._figures, self._start)
        self._applied = False
        self._lock = asyncio.Lock()
        self._listeners: list[Listener] = []
        self._watch: asyncio.Task[None] | None = None
        self._pipelines: dict[str, tuple[PipelineRecord, ServedPipeline]] = {}
        self.core: ServingCore
        self.pipelines: PipelineCore
        self._models: Models
        self._store: Store
        self._query_app = QueryApp(self, options.limits)

    async def start(self) -> None:
        """Open the state, listen, and serve until `stop`.

        Raises
        ------
        InputError
            When the state's URL or a TLS file is wrong.
        OutsideError
            When a port cannot be listened on, or the state cannot be reached.
        """
        options = self.options
        address = address_of(options.host)
        self._store = Store(open_state(options.state))
        check_s = max(0.01, options.silence_s * CHECK_S / SILENCE_S)
        self._registrations = Registrations(
            self._store, lambda desk: Router(desk, silence_s=options.silence_s, check_s=check_s)
        )
        timers = _LoopTimers(asyncio.get_running_loop())
        cache = PredictionCache(options.cache_bytes, entry_bytes=ENTRY_BYTES)
        rng = np.random.default_rng(options.seed)
        self._models = Models(timers, self._registrations, self._metrics, cache, rng)
        self._registrations.models = self._models
        self.core = ServingCore(self._models, timers, self._metrics, rng)
        self.pipelines = PipelineCore(self._models, timers, self._metrics, rng)
        try:
            await self._forget_former_replicas()
            self._apply(await self._store.snapshot())
            self._registrations.router.start(address, options.rpc_port)
            self.rpc_port = self._registrations.router.port
            admin = AdminApp(self._administer, options.limits, options.token)
            for app, port in ((self._query_app, options.query_port), (admin, options.admin_port)):
                self._listeners.append(Listener(app, address, port, options.limits, options.tls))
        except BaseException:
            await self.stop()
            raise
        self.query_port, self.admin_port = (listener.port for listener in self._listeners)
        self._watch = asyncio.create_task(self._follow())
        _log.info(
            "event=serving host=%s query_port=%d admin_port=%d rpc_port=%d state=%s",
            options.host,
            self.query_port,
            self.admin_port,
            self.rpc_port,
            options.state.partition("@")[2] or options.state,
        )

    async def _forget_former_replicas(self) -> None:
        """Delete what a former process that did not end well has left; in Redis it may be another process's."""
        if self.options.state.startswith("redis"):
            return
        for name, version, replica in (await self._store.snapshot()).replicas:
            await self._store.write("delete_replica", name, version, replica)

    async def stop(self) -> None:
        """Take no more queries, answer those in flight, and let go of everything."""
        self.draining = True
        until = monotonic() + self.options.drain_s
        while self._listeners and self._in_flight() and monotonic() < until:
            await asyncio.sleep(0.01)
        left_s = max(0.1, until - monotonic())
        await asyncio.gather(*(listener.stop(left_s) for listener in self._listeners))
        if self._watch is not None:
            await end(self._watch)
        self._registrations.router.close()
        for replica in self._registrations.all:
            self._store.delete_replica(replica.name, replica.version, replica.replica_id)
        await self._store.close(_LAST_RECORDS_S)
        _log.info("event=stopped unanswered=%d", self._in_flight())

    def _in_flight(self) -> int:
        return self.core.in_flight + self.pipelines.in_flight

    # What the interfaces ask

    def metrics(self, accept: str) -> tuple[bytes, bytes]:
        """Return the metrics and their content type."""
        return self._metrics.prometheus(accept) if wants_prometheus(accept) else self._metrics.clipper()

    def ready(self) -> bool:
        """Whether the configuration has been read."""
        return self._applied

    async def recall(self, endpoint: Endpoint, uid: int) -> bool:
        """Have what is kept for a user at hand; False when it is not known whether there is anything."""
        if uid in endpoint.states:
            return True
        try:
            text = await self._store.selection(endpoint.application.name, uid)
        except OutsideError as error:
            _log.warning("event=state_unknown application=%s uid=%d reason=%s", endpoint.application.name, uid, error)
            return False
        if uid not in endpoint.states:
            endpoint.remember(uid, endpoint.initial_state() if text is None else text)
        return True

    def _observe(self, asked: Mapping[str, Any]) -> AdminReply:
        """Answer what has happened to each stage of a pipeline, its arrivals from the numbers on that are given.

        ``start`` tells one process from the next: numbers and clock begin anew in each.
        """
        found = self._pipelines.get(asked["name"])
        if found is None:
            return AdminReply({})
        _, served = found
        since = asked.get("since", {})
        stages = {}
        for stage, key in zip(served.graph.names, served.keys, strict=True):
            number = since.get(stage, 0)
            stages[stage] = self._models.observe(key, number if type(number) is int and number >= 0 else 0)
        return AdminReply({"start": self._start, "now_ns": monotonic_ns(), "stages": stages})

    async def _administer(self, path: str, body: bytes) -> AdminReply:
        if path == OBSERVE_PATH:
            return self._observe(read_fields(body, OBSERVE_FIELDS))
        reply = answer(path, body, await self._store.snapshot())
        if reply.writes:
            async with self._lock:
                reply = answer(path, body, await self._store.snapshot())  # as it is now that nobody else changes it
                for write in reply.writes:
                    await self._store.write(write.method, *write.arguments)
                self._apply(await self._store.snapshot())
        return reply

    # Configuration

    async def _follow(self) -> None:
        """Apply what others change, for instance another server with the same Redis."""
        async for _ in self._store.changes():
            try:
                async with self._lock:
                    self._apply(await self._store.snapshot())
            except OutsideError as error:
                _log.warning("event=state_unreachable reason=%s", error)
            except Exception:  # whatever somebody has written there: this server goes on, and hears of what comes
                _log.exception("event=state_not_applied")

    def _apply(self, snapshot: Snapshot) -> None:
        """Serve what the state says from now on."""
        specs = version_specs(snapshot, self.options.defaults, self.options.limits.queued)
        orphans = self._models.set_versions(specs, snapshot.current)
        self._registrations.serve(snapshot.models, orphans)
        self._registrations.record_again(snapshot.replicas)
        now = endpoints(snapshot, self.endpoints, self._keep)
        for name in now.keys() - self.endpoints.keys():
            if now[name].application.policy == DEFAULT_POLICY:
                self._store.put_selection(name, 0, now[name].initial_state())
        self.endpoints = now
        self._pipelines = served_pipelines(snapshot, self._pipelines)
        self._query_app.route(now, {name: served for name, (_, served) in self._pipelines.items()})
        self._metrics.forget([*now, *self._pipelines], specs)
        self._applied = True

    def _keep(self, application: str, uid: int, text: str) -> None:
        if application in self.endpoints:
            self._store.put_selection(application, uid, text)

    # What is shown

    def _gauges(self) -> Mapping[tuple[str, str], tuple[int, int, int]]:
        return self._models.gauges()

    def _cache_use(self) -> Mapping[tuple[str, str], tuple[int, int]]:
        return self._models.cache_use()

    def _figures(self, since_ns: int) -> Mapping[tuple[str, str], StageFigures]:
        return self._models.figures(since_ns)

    def _cache_counters(self) -> Mapping[str, int]:
        cache = self._models.cache
        return {name: getattr(cache, name) for name in ("lookups", "hits", "joins", "evictions", "bytes")}


class _LoopTimers:
    """The core's clock on an asyncio loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now_ns(self) -> int:
        """Return monotonic nanoseconds."""
        return monotonic_ns()

    def soon(self, callback: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401
        """Call back in the loop's next turn."""
        self._loop.call_soon(callback, *arguments)

    def call_at(self, when_ns: int, callback: Callable[..., None], *arguments: Any) -> Timer:  # noqa: ANN401
        """Call back at that time; asyncio's clock is the monotonic one too."""
        left_s = (when_ns - monotonic_ns()) / 1e9
        return self._loop.call_later(min(max(0.0, left_s), _LONGEST_S), callback, *arguments)
