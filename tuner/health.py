"""What a daemon says of itself: counters for Prometheus, and whether it is alive and ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import monotonic_ns
from types import TracebackType
from typing import Any

from inferline.errors import InputError, OutsideError
from inferline.units import NANO
from tuner.control import Record, Seen, State
from tuner.replanning import ReplanningState

__all__ = ["Health", "HealthServer"]

_PREFIX = "inferline_tuner"
_ALIVE_TICKS = 10


class Health:
    """Counters and conditions of one daemon.

    Parameters
    ----------
    tick_ns
        From one tick to the next: who is much later is not healthy.

    Raises
    ------
    InputError
        When prometheus_client is not installed.
    """

    def __init__(self, tick_ns: int) -> None:
        try:
            import prometheus_client as client  # noqa: PLC0415 - optional
        except ModuleNotFoundError as error:
            raise InputError("the daemon needs prometheus_client: pip install 'inferline[serve]'") from error
        self._client: Any = client
        self._tick_ns = tick_ns
        self._ticked_ns = monotonic_ns()
        self._ready = False
        self.registry = client.CollectorRegistry()

        def made(kind: Any, name: str, text: str, *labels: str) -> Any:  # noqa: ANN401
            return kind(f"{_PREFIX}_{name}", text, labels, registry=self.registry)

        self._seconds = made(client.Histogram, "tick_seconds", "One tick, without waiting.")
        self._changes = made(client.Counter, "changes", "Changes asked for.", "stage", "direction", "rule")
        self._events = made(client.Counter, "events", "Records by what they are.", "event", "stage")
        self._wanted = made(client.Gauge, "wanted_replicas", "What the policy wants.", "stage")
        self._requested = made(client.Gauge, "requested_replicas", "What the target is asked for.", "stage")
        self._ready_replicas = made(client.Gauge, "ready_replicas", "Replicas that serve.", "stage")
        self._unconfirmed = made(client.Gauge, "unconfirmed", "Whether a change is not confirmed.", "stage")
        self._holding = made(client.Gauge, "holding", "Whether nothing is changed, by why.", "reason")
        self._leading = made(client.Gauge, "leading", "Whether this daemon may change anything.")
        self._age = made(client.Gauge, "metrics_age_seconds", "Age of the last metrics.")
        self._replanning: ReplanningState | None = None
        self._replan: Any = None
        self._saving: Any = None

    def note(self, seen: Seen, state: State, records: tuple[Record, ...], took_ns: int) -> None:
        """Take note of a tick."""
        self._ticked_ns = monotonic_ns()
        self._seconds.observe(took_ns / NANO)
        self._leading.set(seen.leading)
        for reason in ("lost", "unreachable", "standby"):
            self._holding.labels(reason).set(reason in state.conditions)
        if seen.arrivals is not None:
            self._age.set((seen.now_ns - seen.arrivals_ns) / NANO)
            for name, stage in seen.arrivals.stages.items():
                self._ready_replicas.labels(name).set(stage.ready)
        for name, at in state.stages.items():
            self._unconfirmed.labels(name).set(at.asked is not None)
            if at.wanted is not None:
                self._wanted.labels(name).set(at.wanted)
            if at.known is not None:
                self._requested.labels(name).set(at.known)
        for record in records:
            self._events.labels(record.event, record.stage).inc()
            if record.event == "scale" and record.before is not None and record.after is not None:
                direction = "up" if record.after > record.before else "down"
                rule = "" if record.reason is None else record.reason.rule
                self._changes.labels(record.stage, direction, rule).inc()
        self._ready = seen.arrivals is not None and not {"lost", "unreachable"} & state.conditions

    def note_replanning(self, state: ReplanningState) -> None:
        """Take note of how it stands with planning anew."""
        self._replanning = state
        if self._replan is None:
            gauge, registry = self._client.Gauge, self.registry
            text = "Whether it watches for drift, plans anew or moves to another plan."
            self._replan = gauge(f"{_PREFIX}_replanning", text, ["doing"], registry=registry)
        for doing in ("watching", "planning", "moving"):
            self._replan.labels(doing).set(state.doing == doing)
        if state.saving_usd_per_hour is not None:
            if self._saving is None:
                name, text = f"{_PREFIX}_replan_saving_usd_per_hour", "Of the last plan; below 0 it costs more."
                self._saving = self._client.Gauge(name, text, registry=self.registry)
            self._saving.set(state.saving_usd_per_hour)

    def told(self) -> str:
        """Return what is said beside yes or no: how it stands with planning anew; empty when it does not."""
        state = self._replanning
        if state is None:
            return ""
        saving = "" if state.saving_usd_per_hour is None else f", last saving {state.saving_usd_per_hour:.6g} $/h"
        failure = f", last failure: {state.failure}" if state.failure else ""
        return f"replanning: {state.doing}{saving}{failure}\n"

    def healthy(self) -> bool:
        """Whether it ticks."""
        return monotonic_ns() - self._ticked_ns < _ALIVE_TICKS * self._tick_ns

    def ready(self) -> bool:
        """Whether it sees both the queries and the target; one that stands by is ready too."""
        return self._ready and self.healthy()

    def metrics(self) -> bytes:
        """Return the counters in the text format of Prometheus."""
        text: bytes = self._client.generate_latest(self.registry)
        return text


class HealthServer:
    """``/metrics``, ``/health`` and ``/ready`` over HTTP, on the loopback interface.

    Parameters
    ----------
    health
        What is told.
    port
        0 takes a free one.

    Raises
    ------
    OutsideError
        When the port cannot be listened on.
    """

    def __init__(self, health: Health, port: int = 0) -> None:
        answers: Mapping[str, Callable[[], tuple[HTTPStatus, bytes]]] = {
            "/metrics": lambda: (HTTPStatus.OK, health.metrics()),
            "/health": lambda: _yes_or_no(health.healthy(), health.told()),
            "/ready": lambda: _yes_or_no(health.ready()),
        }
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(answers))
        except OSError as error:
            raise OutsideError(f"the health endpoint cannot listen on 127.0.0.1:{port}: {error.strerror}") from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = Thread(target=self._server.serve_forever, args=(0.1,), name="health", daemon=True)

    def __enter__(self) -> HealthServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _yes_or_no(yes: bool, told: str = "") -> tuple[HTTPStatus, bytes]:
    status, word = (HTTPStatus.OK, "yes") if yes else (HTTPStatus.SERVICE_UNAVAILABLE, "no")
    return status, f"{word}\n{told}".encode()


def _handler(answers: Mapping[str, Callable[[], tuple[HTTPStatus, bytes]]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5.0

        def do_GET(self) -> None:
            found = answers.get(self.path.partition("?")[0])
            status, body = found() if found is not None else (HTTPStatus.NOT_FOUND, b"")
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # the parent's names
            """Say nothing."""

    return Handler
