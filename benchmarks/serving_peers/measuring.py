"""One cell of the benchmark: one load on one system."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from benchmarks.serving_peers.processes import busy_s
from benchmarks.serving_peers.queries import Queries
from benchmarks.serving_peers.room import Room
from benchmarks.serving_peers.system import PORT, Setup, System
from inferline.domain import Trace, generate
from inferline.units import NANO
from serving_adapter.load import ClosedLoop, LoadSpec, run, summarise

__all__ = ["Cell", "Served", "answers"]

OPEN_CONNECTIONS = 512
WARM_UP_S = 1.0
WARM_UP_QUERIES = 20_000
MOST_BYTES = 300 * 2**20
"""Of the bodies of one cell; with more queries than that they come again, which is said."""

WORST_P99_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one load has shown.

    Parameters
    ----------
    system, model, size, replicas
        What was asked; see `Setup`.
    connections
        Of a closed loop; None in an open one.
    asked_qps
        Of an open loop; None in a closed one.
    seconds
        Length of the load.
    served_qps
        Answers per second.
    p50_s, p99_s
        Latency; None where failures reach so far down.
    cpu_s_per_1000
        CPU time of all processes of the system, for 1,000 answers; None without any.
    memory_bytes
        Of all processes of the system when the load was over, shared pages counted once. An interpreter gives little
        back, so that this is close to the peak.
    errors
        Failed queries by kind.
    generator_share
        CPU share of the load generator, of one core.
    others_cores
        Cores that somebody else had meanwhile: above 0.2 or so the machine was not quiet.
    why
        Why the cell does not count; empty when it does.
    """

    system: str
    model: str
    size: int
    replicas: int
    connections: int | None
    asked_qps: float | None
    seconds: float
    served_qps: float
    p50_s: float | None
    p99_s: float | None
    cpu_s_per_1000: float | None
    memory_bytes: int
    errors: Mapping[str, int]
    generator_share: float
    others_cores: float
    why: str

    @property
    def sustained(self) -> bool:
        """Whether it counts, all queries were answered, and the P99 is at most a second."""
        return not self.why and not self.errors and self.p99_s is not None and self.p99_s <= WORST_P99_S


def answers(system: System) -> bool:
    """Whether the system gives the right reply to a query."""
    [body], check = Queries(2, system.body, system.answer).some(1)
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
    with suppress(OSError, http.client.HTTPException):
        connection.request("POST", system.path, body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        return reply.status == 200 and check(0, reply.read())
    return False


class Served:
    """A system that runs, and is asked.

    Parameters
    ----------
    system, setup, room
        What runs, and where.
    processes
        Processes of the load generator.
    """

    def __init__(self, system: System, setup: Setup, room: Room, processes: int) -> None:
        self._system = system
        self._setup = setup
        self._room = room
        self._processes = processes
        self._queries = Queries(setup.size, system.body, system.answer)

    def closed(self, connections: int, seconds: float) -> Cell:
        """Keep so many connections busy."""
        warm = self._cell(ClosedLoop(duration_ns=round(WARM_UP_S * NANO)), connections, WARM_UP_QUERIES)
        # More than at the rate of the warm-up, as it may still be getting faster.
        count = round(3 * warm.served_qps * seconds) + 1000
        return self._cell(ClosedLoop(duration_ns=round(seconds * NANO)), connections, count)

    def open(self, rate_qps: float, seconds: float, seed: int) -> Cell:
        """Send queries at the instants of a Poisson process, whatever becomes of them."""
        trace = generate("poisson", rate=rate_qps, duration_ns=round(seconds * NANO), seed=seed)
        return self._cell(trace, OPEN_CONNECTIONS, len(trace), rate_qps)

    def _cell(self, traffic: ClosedLoop | Trace, connections: int, count: int, rate_qps: float | None = None) -> Cell:
        system, setup = self._system, self._setup
        [example], _ = self._queries.some(1)
        bodies, check = self._queries.some(max(1, min(count, MOST_BYTES // len(example))))
        closed = isinstance(traffic, ClosedLoop)
        spec = LoadSpec(
            url=f"http://127.0.0.1:{PORT}{system.path}",
            bodies=bodies,
            traffic=traffic,
            processes=min(self._processes, connections),
            connections=connections if closed else connections // self._processes,
            check=check,
        )
        start, cpu_s, everybody_s = monotonic(), self._room.cpu_s(), busy_s()
        result = run(spec)
        seconds, cpu_s, everybody_s = monotonic() - start, self._room.cpu_s() - cpu_s, busy_s() - everybody_s
        if result.interrupted:
            raise KeyboardInterrupt
        summary = summarise(result)
        latency = summary.latency
        reasons = [summary.why] if summary.why else []
        if result.excerpt:
            reasons.append(result.excerpt)
        if summary.queries > len(bodies):
            reasons.append(f"inputs came again after {len(bodies):,}: a cache may have helped")
        return Cell(
            system=system.name,
            model=setup.model,
            size=setup.size,
            replicas=setup.replicas,
            connections=connections if closed else None,
            asked_qps=rate_qps,
            seconds=traffic.duration_ns / NANO,
            served_qps=summary.throughput_qps,
            p50_s=None if latency.p50_ns is None else latency.p50_ns / NANO,
            p99_s=None if latency.p99_ns is None else latency.p99_ns / NANO,
            cpu_s_per_1000=cpu_s / summary.ok * 1000 if summary.ok else None,
            memory_bytes=self._room.memory_bytes(),
            errors=dict(summary.errors),
            generator_share=result.cpu_s / result.wall_s,
            others_cores=max(0.0, everybody_s - cpu_s - result.cpu_s) / seconds,
            why="; ".join(reasons),
        )
