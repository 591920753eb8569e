"""The question: does a busy serving core lose a query, mix two up, or grow, while model containers die and come.

A server and its model containers run as processes of their own. First Poisson traffic at rising rates measures what
this machine can carry, generator included: a closed loop would leave out what it takes to send in time, and so find a
capacity that nobody could ask for. Then traffic of 80 % of that goes on for the whole time, while every few seconds
one container is killed (SIGKILL, in the middle of a batch as a rule) and another one started. Every input is a
number, every container answers with that number, and every reply is compared with its own query. There is no cache,
so every query goes through a container.

Wanted: no query without a reply, no reply to another query, and no more memory at the end than after the warm-up.
Latencies count from the intended instant. When the generator could not keep up, because the machine had other work,
they are its own: the send error says so, and sending to reply is what the server is charged with.

    python -m benchmarks.soak                          # ten minutes
    python -m benchmarks.soak --duration 60s --format json
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from inferline.domain.renewal import poisson_trace
from inferline.units import NANO, parse_duration_ns
from serving_adapter.load import ClosedLoop, LoadResult, LoadSpec, bodies, run, summarise

INPUTS = 100_000
BODIES = bodies([[float(i)] for i in range(INPUTS)])
CONNECTIONS = 64
FIRST_RATE_QPS = 2000.0
STEP = 1.15
"""From one rate to the next, while the capacity is looked for."""

SUSTAINED_P99_NS = NANO
BATCH = 64
SLO_S = 5
TIMEOUT_NS = 60 * NANO
"""Long, because a generator that lags behind on a busy machine is not the server's fault; the SLO is."""

SAMPLE_S = 1.0
WARM_UP = 0.2
"""Share of the time after which memory is expected to stay."""

GROWTH_BYTES = 16 * 2**20
"""By how much it may still move."""

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SERVE = [sys.executable, "-c", "from inferline.cli import main; main()", "serve", "--state", "memory://"]
SERVE += ["--query-port", "0", "--admin-port", "0", "--rpc-port", "0", "--cache-bytes", "0", "--log-level", "error"]


CONTAINERS = """
import os, signal, sys
from serving_adapter.rpc.container import Container

class Echo:
    def predict(self, inputs):
        return [str(int(each[0])) for each in inputs]

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in sys.stdin:
    pid = os.fork()
    if not pid:
        Container(model=Echo(), name="m", version="1", input_type="doubles", address=sys.argv[1]).serve()
    print(pid, flush=True)
"""
"""A process that becomes a model container for every line that it reads: imported once, started in milliseconds."""


class Reply(msgspec.Struct):
    """What is looked at in a reply."""

    output: int
    default: bool


def belongs(query: int, body: bytes) -> bool:
    """Whether a reply is that of its query, or the default output."""
    reply = msgspec.json.decode(body, type=Reply)
    return reply.default or reply.output == query % INPUTS


@dataclass
class Served:
    """A server that runs, and its containers."""

    process: subprocess.Popen[str]
    query_port: int
    admin: httpx.Client
    mother: subprocess.Popen[str]
    containers: list[int] = field(default_factory=list)
    killed: int = 0

    @property
    def url(self) -> str:
        """Where queries go."""
        return f"http://127.0.0.1:{self.query_port}/app/predict"

    @property
    def memory_bytes(self) -> int:
        """Resident memory of the server."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE_BYTES

    @property
    def cpu_s(self) -> float:
        """CPU seconds of the server so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ask(self, path: str, **document: object) -> httpx.Response:
        """Ask the administration interface."""
        return self.admin.post(f"/admin/{path}", json=document).raise_for_status()

    def add(self) -> None:
        """Start a container."""
        print(file=self.mother.stdin, flush=True)
        self.containers.append(int(self.mother.stdout.readline()) if self.mother.stdout else 0)

    def kill(self) -> None:
        """Kill the container that is there for longest."""
        os.kill(self.containers.pop(0), signal.SIGKILL)
        self.killed += 1

    def kill_all(self) -> None:
        """Kill the containers that are left."""
        while self.containers:
            self.kill()


@contextmanager
def served(count: int) -> Iterator[Served]:
    """Run a server with an application, a model and so many containers."""
    with ExitStack() as stack:
        process = stack.enter_context(subprocess.Popen(SERVE, stderr=subprocess.PIPE, text=True))
        stack.callback(process.terminate)
        stderr = process.stderr
        said = "" if stderr is None else stderr.readline() + stderr.readline()
        query, admin, rpc = (int(port) for port in re.findall(r"//127.0.0.1:(\d+)", said))
        threading.Thread(target=lambda: sys.stderr.writelines(stderr or ()), daemon=True).start()
        command = [sys.executable, "-c", CONTAINERS, f"tcp://127.0.0.1:{rpc}"]
        mother = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{admin}"))
        server = Served(process, query, client, mother)
        stack.callback(server.kill_all)
        app = {"name": "app", "input_type": "doubles", "default_output": "-1"}
        server.ask("add_app", **app, latency_slo_micros=SLO_S * 1_000_000)
        model = {"model_name": "m", "model_version": "1", "labels": [], "input_type": "doubles"}
        server.ask("add_model", **model, container_name="", model_data_path="", batch_size=BATCH)
        server.ask("add_model_links", app_name="app", model_names=["m"])
        for _ in range(count):
            server.add()
        while len(server.ask("get_all_containers", verbose=False).json()) < count:
            time.sleep(0.05)
        yield server


def warm_up(server: Served, duration_ns: int) -> None:
    """Have so many connections send, each as soon as it has its reply."""
    loop = ClosedLoop(duration_ns=duration_ns)
    run(LoadSpec(url=server.url, bodies=BODIES, traffic=loop, connections=CONNECTIONS, check=belongs))


def capacity_qps(server: Served, duration_ns: int) -> float:
    """Return the highest of rising rates at which every query is answered, sent in time, and 99 % within a second.

    The first rate that is not sustained gets a second chance: it may have been the machine.
    """
    sustained, rate, seed, failed = 0.0, FIRST_RATE_QPS, 0, False
    while True:
        found = summarise(run(open_loop(server, rate, duration_ns, seed)))
        seed += 1
        in_time = found.latency.p99_ns is not None and found.latency.p99_ns <= SUSTAINED_P99_NS
        if in_time and not found.errors and not found.defaults and not found.why:
            sustained, rate, failed = rate, rate * STEP, False
        elif failed:
            return sustained
        else:
            failed = True


def open_loop(server: Served, rate: float, duration_ns: int, seed: int) -> LoadSpec:
    """Return Poisson traffic."""
    return LoadSpec(
        url=server.url,
        bodies=BODIES,
        traffic=poisson_trace(rate=rate, duration_ns=duration_ns, seed=seed),
        connections=1024,
        timeout_ns=TIMEOUT_NS,
        check=belongs,
    )


def soak(server: Served, rate: float, duration_ns: int, every_s: float, seed: int) -> tuple[LoadResult, list[int]]:
    """Send open-loop traffic while containers die and come; return what was measured, and memory by the second."""
    ended = threading.Event()
    memory: list[int] = []

    def watch() -> None:
        next_s = time.monotonic()
        while not ended.wait(max(0.0, next_s + SAMPLE_S - time.monotonic())):
            next_s += SAMPLE_S
            memory.append(server.memory_bytes)
            if len(memory) % max(1, round(every_s / SAMPLE_S)) == 0:
                server.add()
                server.kill()

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        return run(open_loop(server, rate, duration_ns, seed)), memory
    finally:
        ended.set()
        watching.join()


def figures(options: argparse.Namespace) -> dict[str, object]:
    """Run all of it."""
    with served(options.containers) as server:
        warm_up(server, NANO)
        capacity = capacity_qps(server, parse_duration_ns(options.capacity))
        rate = options.share * capacity
        if not rate:
            sys.exit(f"not even {FIRST_RATE_QPS:g} queries/s are sustained here")
        before_s = server.cpu_s
        result, memory = soak(server, rate, parse_duration_ns(options.duration), options.kill_every, options.seed)
        cpu_s = server.cpu_s - before_s
        killed = server.killed
    summary = summarise(result)
    settled = memory[int(len(memory) * WARM_UP) :]
    unanswered = sum(count for kind, count in summary.errors.items() if kind != "wrong")
    latency, lag = summary.latency, summary.send_error
    served_ns = result.records.done_ns - result.records.sent_ns
    return {
        "capacity_qps": round(capacity),
        "asked_qps": round(rate),
        "sent_in_time_qps": round(summary.achieved_qps or 0),
        "queries": summary.queries,
        "answered_rightly": summary.ok,
        "unanswered": unanswered,
        "wrong": summary.errors.get("wrong", 0),
        "errors": dict(summary.errors),
        "defaults": summary.defaults,
        "containers_killed": killed,
        "latency_p50_p99_max_ms": [_ms(each) for each in (latency.p50_ns, latency.p99_ns, latency.max_ns)],
        "send_error_p50_p99_max_ms": [_ms(each) for each in (lag.p50_ns, lag.p99_ns, lag.max_ns)] if lag else None,
        "sending_to_reply_p50_p99_max_ms": [_ms(float(each)) for each in np.percentile(served_ns, [50, 99, 100])],
        "latencies_count": not summary.why,
        "server_cpu_us_per_query": round(cpu_s / max(1, summary.queries) * 1e6),
        "memory_mib": [_mib(each) for each in memory[:: max(1, len(memory) // 10)]],
        "memory_after_warm_up_mib": _mib(settled[0]),
        "memory_at_the_end_mib": _mib(settled[-1]),
        "passed": not unanswered and not summary.errors.get("wrong", 0) and settled[-1] - settled[0] <= GROWTH_BYTES,
    }


def _ms(time_ns: float | None) -> float | None:
    return None if time_ns is None else round(time_ns / 1e6, 2)


def _mib(size_bytes: int) -> float:
    return round(size_bytes / 2**20, 1)


def main() -> None:
    """Print the figures; exit with 1 when what is wanted does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--duration", default="10min", help="of the open loop")
    parser.add_argument("--capacity", default="5s", help="how long each of the rising rates is sent")
    parser.add_argument("--share", type=float, default=0.8, help="of the capacity that is sent")
    parser.add_argument("--containers", type=int, default=3)
    parser.add_argument("--kill-every", type=float, default=3.0, metavar="S", help="seconds between two kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", choices=["table", "json"], default="table")
    options = parser.parse_args()
    found = figures(options)
    if options.format == "json":
        print(json.dumps(found, indent=2))
    else:
        table = Table("figure", "value", title="Soak: containers die and come under load")
        for name, value in found.items():
            table.add_row(name, str(value))
        Console().print(table)
    sys.exit(0 if found["passed"] else 1)


if __name__ == "__main__":
    main()
