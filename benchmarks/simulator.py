"""The question: how fast is the compiled kernel, per query and station, and against other ways to simulate the same.

The work: three stations in a row, a batch of b queries takes L(b) = 1 ms + 0.2 ms x b, Poisson arrivals at a load of
0.7 (0.7 c B / L(B) queries per second), c replicas and maximum batch size B per station. The rivals run on the same
trace, interleaved with the kernel, and must find its latencies, to the nanosecond. Times are the least of several
runs, except where a table says otherwise; everything is measured in one run of this program.

    python -m benchmarks.simulator                      # about a minute
    python -m benchmarks.simulator --format json
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial

import ciw
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from inferline.domain import Routes
from simulator import Network, Station, simulate

LOAD = 0.7
STATIONS = 3
QUERIES = 100_000
CIW_QUERIES = 10_000
MANY = 10_000_000

Instants = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A table: what it says, the target if there is one, and its rows."""

    title: str
    note: str
    rows: list[dict[str, object]]


def table_ns(max_batch: int) -> tuple[int, ...]:
    """Return L(1) ... L(B)."""
    return tuple(1_000_000 + 200_000 * size for size in range(1, max_batch + 1))


def trace(queries: int, replicas: int, max_batch: int, seed: int = 0) -> Instants:
    """Return Poisson arrivals at the load."""
    gaps = np.random.default_rng(seed).exponential(table_ns(max_batch)[-1] / (LOAD * replicas * max_batch), queries)
    return np.cumsum(gaps, out=gaps).astype(np.int64)


def row_of_stations(replicas: int, max_batch: int) -> Network:
    """Return the three stations in a row."""
    return Network(
        tuple(Station(f"s{k}", table_ns(max_batch), replicas, (f"s{k - 1}",) if k else ()) for k in range(STATIONS))
    )


def least_s(runs: int, *works: Callable[[], object]) -> list[float]:
    """Return the least time of each work over interleaved runs; the first round is not counted."""
    times = [[_seconds(work) for work in works] for _ in range(runs + 1)]
    return [min(column) for column in zip(*times[1:], strict=True)]


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def kernel(network: Network, arrival_ns: Instants, taken: Routes | None = None, *, record: bool = False) -> Instants:
    """Return the latencies that the kernel finds."""
    return simulate(network, arrival_ns, taken, record_visits=record).latency_ns


def reference(network: Network, arrival_ns: Instants) -> Instants:
    """Return the latencies that the model in SimPy finds."""
    return simulate(network, arrival_ns, engine="reference", record_visits=False).latency_ns


def event_loop(network: Network, arrival_ns: Instants) -> Instants:
    """Return the latencies by an event loop over one heap: the same rules in plain Python, for stations in a row."""
    arrivals, stations = arrival_ns.tolist(), network.stations
    last = len(stations) - 1
    queues: list[deque[int]] = [deque() for _ in stations]
    free = [station.replicas for station in stations]
    delivered: list[list[int]] = [[] for _ in stations]
    latency, in_service, arrived, serial = [0] * len(arrivals), [], 0, 0
    while in_service or arrived < len(arrivals):
        now = in_service[0][0] if in_service else arrivals[arrived]
        if arrived < len(arrivals) and arrivals[arrived] < now:
            now = arrivals[arrived]
        due = set()
        while in_service and in_service[0][0] == now:
            _, _, place, batch = heapq.heappop(in_service)
            free[place] += 1
            due.add(place)
            if place == last:
                for query in batch:
                    latency[query] = now - arrivals[query]
            else:
                delivered[place + 1] += batch
                due.add(place + 1)
        while arrived < len(arrivals) and arrivals[arrived] == now:
            delivered[0].append(arrived)
            due.add(0)
            arrived += 1
        for place in due:
            queue, table = queues[place], stations[place].batch_latency_ns
            queue.extend(sorted(delivered[place]))
            delivered[place].clear()
            while queue and free[place]:
                batch = [queue.popleft() for _ in range(min(len(queue), len(table)))]
                free[place] -= 1
                serial += 1
                heapq.heappush(in_service, (now + table[len(batch) - 1], serial, place, batch))
    return np.array(latency, dtype=np.int64)


def ciw_model(replicas: int, arrival_ns: Instants) -> ciw.Simulation:
    """Return the stations with B = 1 as a model in Ciw, which has no batch service."""
    gaps = np.diff(arrival_ns, prepend=0).tolist()
    onwards = np.eye(STATIONS, k=1).tolist()
    return ciw.Simulation(
        ciw.create_network(
            arrival_distributions=[ciw.dists.Sequential([*gaps, float("inf")]), None, None],
            service_distributions=[ciw.dists.Deterministic(table_ns(1)[0])] * STATIONS,
            routing=onwards,
            number_of_servers=[replicas] * STATIONS,
        )
    )


def ciw_s(replicas: int, arrival_ns: Instants) -> float:
    """Return the time that Ciw takes for a trace, after checking its latencies."""
    model = ciw_model(replicas, arrival_ns)
    seconds = _seconds(lambda: model.simulate_until_max_time(float(2**62)))
    left_ns = np.zeros(arrival_ns.size)
    for record in model.get_all_records():
        left_ns[record.id_number - 1] = max(left_ns[record.id_number - 1], record.exit_date)
    check_equal(left_ns - arrival_ns, kernel(row_of_stations(replicas, 1), arrival_ns))
    return seconds


def agreeing_s(run: Callable[[], Instants], expected: Instants) -> float:
    """Return the time that a rival takes, after checking its latencies."""
    start = time.perf_counter()
    found = run()
    seconds = time.perf_counter() - start
    check_equal(found, expected)
    return seconds


def check_equal(found: NDArray[np.generic], expected: Instants) -> None:
    """Stop the benchmark when a rival simulates something else."""
    if not np.array_equal(found, expected):
        raise SystemExit("a rival's latencies differ from the kernel's: the comparison would mean nothing")


def rivals() -> Section:
    """Measure queries per second of every engine on the same work."""
    rows: list[dict[str, object]] = []
    for replicas, max_batch in ((8, 8), (8, 1), (1, 8)):
        network, arrival_ns = row_of_stations(replicas, max_batch), trace(QUERIES, replicas, max_batch)
        unbatched = trace(CIW_QUERIES, replicas, 1)
        expected = kernel(network, arrival_ns)
        times: dict[str, list[float]] = {"kernel": [], "heapq loop": [], "SimPy": [], "Ciw, B = 1": []}
        for _ in range(3):
            # The kernel is so much faster that its least time needs, and affords, more runs.
            times["kernel"] += least_s(5, partial(kernel, network, arrival_ns))
            times["heapq loop"].append(agreeing_s(partial(event_loop, network, arrival_ns), expected))
            times["SimPy"].append(agreeing_s(partial(reference, network, arrival_ns), expected))
            times["Ciw, B = 1"].append(ciw_s(replicas, unbatched))
        rates = {
            name: (CIW_QUERIES if name.startswith("Ciw") else QUERIES) / min(each) for name, each in times.items()
        }
        rows += [
            {
                "c": replicas,
                "B": max_batch,
                "engine": name,
                "queries/s": round(rate),
                "kernel is faster by": round(rates["kernel"] / rate, 1),
            }
            for name, rate in rates.items()
        ]
    return Section(
        title="Against other ways to simulate three stations in a row",
        note=f"{QUERIES:,} queries; Ciw: {CIW_QUERIES:,} and B = 1 throughout, because it has no batch service. "
        "Target: at least 200 times SimPy at c = 8, B = 8.",
        rows=rows,
    )


def grid() -> Section:
    """Measure nanoseconds per query and station for small and large stations."""
    rows: list[dict[str, object]] = []
    for replicas in (1, 8, 64):
        for max_batch in (1, 8, 64):
            network, arrival_ns = row_of_stations(replicas, max_batch), trace(QUERIES, replicas, max_batch)
            bare, recorded = least_s(
                7, partial(kernel, network, arrival_ns), partial(kernel, network, arrival_ns, record=True)
            )
            unit = 1e9 / (QUERIES * STATIONS)
            rows.append(
                {
                    "c": replicas,
                    "B": max_batch,
                    "latencies only": round(bare * unit, 1),
                    "every visit recorded": round(recorded * unit, 1),
                }
            )
    return Section(
        title="Nanoseconds per query and station",
        note=f"{QUERIES:,} queries. Target: at most 15 for c <= 64 and B >= 8, latencies only.",
        rows=rows,
    )


def diamond() -> Section:
    """Measure two branches and a join, per visit."""
    rows: list[dict[str, object]] = []
    for replicas, max_batch in ((8, 1), (8, 8), (64, 8)):
        table = table_ns(max_batch)
        network = Network(
            (
                Station("entry", table, replicas),
                Station("left", table, replicas, ("entry",)),
                Station("right", table, replicas, ("entry",)),
                Station("join", table, replicas, ("left", "right")),
            )
        )
        arrival_ns = trace(QUERIES, replicas, max_batch)
        draws = np.random.default_rng(1).random((2, QUERIES))
        taken = {("entry", "left"): draws[0] < 0.5, ("entry", "right"): draws[1] < 0.8}
        visits = sum(
            station.visits for station in simulate(network, arrival_ns, taken, record_visits=False).stations.values()
        )
        (seconds,) = least_s(7, partial(kernel, network, arrival_ns, taken))
        rows.append(
            {"c": replicas, "B": max_batch, "visits": visits, "ns per visit": round(seconds * 1e9 / visits, 1)}
        )
    return Section(
        title="Branches taken by 50 % and 80 % of the queries, and their join",
        note=f"{QUERIES:,} queries, four stations; branching and joining included.",
        rows=rows,
    )


def ten_million() -> dict[str, object]:
    """Measure ten million queries in this process, which has simulated only a few before, to load the kernel."""
    network, arrival_ns = row_of_stations(8, 8), trace(MANY, 8, 8)
    kernel(network, arrival_ns[:1_000])
    first, *others = (_seconds(lambda: kernel(network, arrival_ns)) for _ in range(6))
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {
        "queries": MANY,
        "first run s": round(first, 3),
        "median of the next 5 s": round(statistics.median(others), 3),
        "peak memory GB": round(peak_gb, 2),
    }


def large() -> Section:
    """Measure ten million queries in a process of their own, for the memory and for the first run."""
    command = [sys.executable, "-m", "benchmarks.simulator", "--only-ten-million"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Section(
        title="Ten million queries through three stations, c = 8, B = 8",
        note="A fresh process; the first run pays for memory that nobody has touched before. "
        "Target: less than 0.5 s and 1.5 GB.",
        rows=[json.loads(printed)],
    )


def threads() -> Section:
    """Measure two independent simulations one after the other and at once."""
    queries = 1_000_000
    network, arrivals = row_of_stations(8, 8), [trace(queries, 8, 8, seed) for seed in (1, 2)]
    with ThreadPoolExecutor(2) as pool:
        alone, together = least_s(
            7,
            lambda: [kernel(network, arrival_ns) for arrival_ns in arrivals],
            lambda: list(pool.map(lambda arrival_ns: kernel(network, arrival_ns), arrivals)),
        )
    return Section(
        title="Two simulations of a million queries each",
        note=f"{os.cpu_count()} processors, which others may be using.",
        rows=[
            {"1 thread s": round(alone, 4), "2 threads s": round(together, 4), "speedup": round(alone / together, 2)}
        ],
    )


def floor() -> Section:
    """Measure copying 12 bytes per query: what reading and writing a stream costs at the very least."""
    rows: list[dict[str, object]] = []
    for queries in (QUERIES, MANY):
        instants, ids = np.zeros((2, queries), dtype=np.int64), np.zeros((2, queries), dtype=np.int32)

        def copy(instants: NDArray[np.int64] = instants, ids: NDArray[np.int32] = ids) -> None:
            np.copyto(instants[1], instants[0])
            np.copyto(ids[1], ids[0])

        (seconds,) = least_s(7, copy)
        rows.append({"queries": queries, "ns per query": round(seconds * 1e9 / queries, 2)})
    return Section(title="The floor: copying 12 bytes per query", note="Memory touched before.", rows=rows)


def show(section: Section, console: Console) -> None:
    """Print a section as a table."""
    table = Table(title=section.title, caption=section.note, title_justify="left", caption_justify="left")
    for name in section.rows[0]:
        table.add_column(name, justify="right")
    for row in section.rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int | float) else str(value) for value in row.values()))
    console.print(table, "")


def main() -> None:
    """Measure everything and print it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--format", choices=["table", "json"], default="table")
    options.add_argument("--only-ten-million", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.only_ten_million:
        print(json.dumps(ten_million()))
        return
    console = Console(stderr=chosen.format == "json")
    sections = []
    for measure in (rivals, grid, diamond, large, threads, floor):
        sections.append(measure())
        show(sections[-1], console)
    if chosen.format == "json":
        print(json.dumps([asdict(section) for section in sections], indent=2))


if __name__ == "__main__":
    main()
