"""One serving process: both interfaces, the router, the core and the stored state, in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns
from typing import Any

import numpy as np
import uvicorn

from inferline.errors import InputError, OutsideError
from serving_adapter.core.batching import Aimd, BatchPolicy, ExploreThenFit, FixedBatch
from serving_adapter.core.cache import PredictionCache
from serving_adapter.core.endpoints import Endpoint
from serving_adapter.core.queueing import Order
from serving_adapter.core.serving import ServingCore
from serving_adapter.core.versions import VersionSpec
from serving_adapter.core.world import Timer
from serving_adapter.frontend.admin import AdminReply, answer
from serving_adapter.frontend.admin_app import AdminApp
from serving_adapter.frontend.http import App, Limits, bounded
from serving_adapter.frontend.metrics import Metrics, wants_prometheus
from serving_adapter.frontend.query_app import QueryApp
from serving_adapter.frontend.registrations import Registrations
from serving_adapter.frontend.store import Store
from serving_adapter.rpc.router import SILENCE_S, Router
from serving_adapter.state import ModelVersion, Snapshot, open_state

__all__ = ["ServeOptions", "Server"]

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
        Bytes of outputs that the prediction cache keeps.
    order
        Order of the queues: ``arrival`` or ``deadline``.
    batching
        What a model registered with batch size -1 gets: ``explore`` (Clipper's) or ``aimd`` (its paper's).
    wait_ns
        Longest wait for a batch to fill.
    silence_s
        When a silent container is dropped.
    drain_s
        How long queries in flight are waited for at the end.
    limits
        What one client may ask.
    token
        Bearer token of the administration interface.
    certificate, key
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
    order: Order = "arrival"
    batching: str = "explore"
    wait_ns: int = 0
    silence_s: float = SILENCE_S
    drain_s: float = 30.0
    limits: Limits = field(default_factory=Limits)
    token: str | None = None
    certificate: Path | None = None
    key: Path | None = None
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
        self._rng = np.random.default_rng(options.seed)
        self._metrics = Metrics(self._gauges, self._cache_counters)
        self._applied = False
        self._lock = asyncio.Lock()
        self._servers: list[tuple[_Uvicorn, asyncio.Task[None]]] = []
        self._watch: asyncio.Task[None] | None = None
        self.core: ServingCore
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
        self._store = Store(open_state(options.state))
        self._registrations = Registrations(self._store, lambda desk: Router(desk, silence_s=options.silence_s))
        timers = _LoopTimers(asyncio.get_running_loop())
        cache = PredictionCache(options.cache_bytes)
        self.core = ServingCore(timers, self._registrations, self._metrics, cache, self._rng)
        self._registrations.core = self.core
        try:
            self._apply(await self._store.snapshot())
            self._registrations.router.start(options.host, options.rpc_port)
            self.rpc_port = self._registrations.router.port
            self.query_port = await self._listen(self._query_app, options.query_port)
            admin = AdminApp(self._administer, options.limits, options.token)
            self.admin_port = await self._listen(admin, options.admin_port)
        except BaseException:
            await self.stop()
            raise
        self._watch = asyncio.create_task(self._follow())
        _log.info(
            "event=serving host=%s query_port=%d admin_port=%d rpc_port=%d state=%s",
            options.host,
            self.query_port,
            self.admin_port,
            self.rpc_port,
            options.state.partition("@")[2] or options.state,
        )

    async def stop(self) -> None:
        """Take no more queries, answer those in flight, and let go of everything."""
        self.draining = True
        deadline_ns = monotonic_ns() + int(self.options.drain_s * 1e9)
        if self._servers:
            while self.core.in_flight and monotonic_ns() < deadline_ns:
                await asyncio.sleep(0.01)
        for server, _ in self._servers:
            server.should_exit = True
        for _, running in self._servers:
            await running
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        self._registrations.router.close()
        for replica in self._registrations.all:
            self._store.delete_replica(replica.name, replica.version, replica.replica_id)
        await self._store.close()
        _log.info("event=stopped unanswered=%d", self.core.in_flight)

    async def _listen(self, app: App, port: int) -> int:
        """Serve an application on a port; return the port."""
        options = self.options
        config = uvicorn.Config(
            app,
            host=options.host,
            port=port,
            loop="none",
            http=bounded(options.limits),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(options.limits.idle_s),
            timeout_graceful_shutdown=int(options.drain_s) + 1,
            backlog=2048,
            ssl_certfile=options.certificate,
            ssl_keyfile=options.key,
        )
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            raise InputError(f"TLS certificate or key cannot be used: {error}") from error
        server = _Uvicorn(config)
        running = asyncio.create_task(server.serve())
        self._servers.append((server, running))
        while not server.started:
            if running.done():
                raise OutsideError(f"cannot listen on {options.host}:{port}: is another server running there?")
            await asyncio.sleep(0.005)
        return int(server.servers[0].sockets[0].getsockname()[1])

    # What the interfaces ask

    def metrics(self, accept: str) -> tuple[bytes, bytes]:
        """Return the metrics and their content type."""
        return self._metrics.prometheus(accept) if wants_prometheus(accept) else self._metrics.clipper()

    def ready(self) -> bool:
        """Whether the configuration has been read."""
        return self._applied

    async def recall(self, endpoint: Endpoint, uid: int) -> None:
        """Have the state of a user at hand."""
        if uid not in endpoint.states:
            text = await self._store.selection(endpoint.application.name, uid)
            if text is not None:
                endpoint.states.setdefault(uid, text)

    async def _administer(self, path: str, body: bytes) -> AdminReply:
        async with self._lock:
            reply = answer(path, body, await self._store.snapshot())
            for write in reply.writes:
                await self._store.write(write.method, *write.arguments)
            if reply.writes:
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

    def _apply(self, snapshot: Snapshot) -> None:
        """Serve what the state says from now on."""
        specs = {key: self._spec(model) for key, model in snapshot.models.items()}
        orphans = self.core.set_versions(specs, snapshot.current)
        self._registrations.serve(snapshot.models, orphans)
        endpoints = {}
        for name, application in snapshot.applications.items():
            models = tuple(sorted(snapshot.links.get(name, ())))
            old = self.endpoints.get(name)
            if old is not None and old.application == application and old.models == models:
                endpoints[name] = old
            else:
                endpoints[name] = Endpoint(application, models, self._store.put_selection)
                if old is None and endpoints[name].policy is None:
                    self._store.put_selection(name, 0, endpoints[name].initial_state())
        self.endpoints = endpoints
        self._query_app.route(endpoints)
        self._metrics.forget(endpoints, specs)
        self._applied = True

    def _spec(self, model: ModelVersion) -> VersionSpec:
        options = self.options
        return VersionSpec(
            batching=self._batching(model),
            order=options.order,
            wait_ns=options.wait_ns,
            most_queued=options.limits.queued,
        )

    def _batching(self, model: ModelVersion) -> Callable[[], BatchPolicy]:
        if model.batch_size > 0:
            return lambda: FixedBatch(model.batch_size)
        if self.options.batching == "aimd":
            slos = (e.slo_ns for e in self.endpoints.values() if model.name in e.models)
            objective_ns = min(slos, default=100_000_000)
            return lambda: Aimd(objective_ns)
        return lambda: ExploreThenFit(self._rng)

    def _gauges(self) -> Mapping[tuple[str, str], tuple[int, int, int]]:
        return self.core.gauges()

    def _cache_counters(self) -> Mapping[str, int]:
        cache = self.core.cache
        return {name: getattr(cache, name) for name in ("lookups", "hits", "joins", "evictions", "bytes")}


class _Uvicorn(uvicorn.Server):
    """uvicorn within a loop that has other things to do, signals among them."""

    def install_signal_handlers(self) -> None:
        """Leave signals to whoever runs the loop."""

    def capture_signals(self) -> Any:  # noqa: ANN401 - a context manager of uvicorn's
        """Leave signals to whoever runs the loop."""
        return contextlib.nullcontext()


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
        return self._loop.call_later(max(0.0, (when_ns - monotonic_ns()) / 1e9), callback, *arguments)
