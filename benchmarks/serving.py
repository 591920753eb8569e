"""The question: what do queries cost on their way through the serving core, beside systems that people use.

InferLine, Ray Serve, MLServer and BentoML serve the same models with adaptive batching, one after the other on the
same machine in the same run; a bare ASGI application that sends bodies back shows what an HTTP server alone costs.
Each is tuned as its documentation says it is fastest: ``benchmarks/serving_peers`` has a file for each, with what is
set and why.

Models: ``noop`` takes no time; ``affine`` takes 5 ms + 0.5 ms x batch size and sleeps meanwhile, because a model on
an accelerator leaves the processor to the serving system. A replica takes one batch at a time, at most 64 inputs.
Inputs are 16 or 784 doubles in JSON, and no two that a server gets are alike, so that no cache helps anybody.

Loads, all sent by `serving_adapter.load`: a closed loop with 1, 16 and 64 connections, after a second of warming up;
then an open loop (Poisson) at rising rates, up to the first one at which, twice, a query fails, the P99 is above a
second, or the load does not count. Each cell shows requests/s, P50 and P99, CPU seconds per 1,000 requests of all
processes of the system (the generator's are apart), and their memory after the load, with shared pages counted once.
Every 16th reply is checked to be that of its query. All cells are printed, those that do not count with the reason.

Everything runs in a network of its own (Linux network namespace; root or user namespaces are needed), so that nothing
can be reached from outside, and nothing reports home.

    python -m benchmarks.serving                      # everything: about an hour
    python -m benchmarks.serving --quick              # a few cells: about three minutes
    python -m benchmarks.serving --json serving.json  # and write all cells as JSON

The peers are installed on the first run, into environments of their own below ``--peers``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.serving_peers.asgi_echo import ECHO
from benchmarks.serving_peers.bentoml_serve import BENTOML, BENTOML_DEFAULTS
from benchmarks.serving_peers.comparison import claim_lines, claims, comparison_tables
from benchmarks.serving_peers.environments import environment, versions
from benchmarks.serving_peers.inferline_serve import INFERLINE
from benchmarks.serving_peers.measuring import Cell, Served, answers
from benchmarks.serving_peers.mlserver_rest import MLSERVER, MLSERVER_DEFAULTS
from benchmarks.serving_peers.network import confine, raise_loopback
from benchmarks.serving_peers.ray_serve import RAY_SERVE, RAY_SERVE_DEFAULTS
from benchmarks.serving_peers.room import room
from benchmarks.serving_peers.system import Setup, System
from inferline.errors import InferlineError, OutsideError

SYSTEMS = {
    "inferline": INFERLINE,
    "ray": RAY_SERVE,
    "mlserver": MLSERVER,
    "bentoml": BENTOML,
    "echo": ECHO,
    "ray-defaults": RAY_SERVE_DEFAULTS,
    "mlserver-defaults": MLSERVER_DEFAULTS,
    "bentoml-defaults": BENTOML_DEFAULTS,
}
TUNED = ["inferline", "ray", "mlserver", "bentoml", "echo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured; see the options."""

    setups: Sequence[Setup]
    connections: Sequence[int]
    rates_qps: Sequence[float]
    seconds: float


def everything(seconds: float) -> Extent:
    """Return all cells."""
    setups = [
        Setup(model=model, size=size, replicas=replicas)
        for model in ("noop", "affine")
        for size in (16, 784)
        for replicas in (1, 4)
    ]
    rates = [200, 500, 1000, 2000, 4000, 8000]
    return Extent(setups=setups, connections=[1, 16, 64], rates_qps=rates, seconds=seconds)


def quick(seconds: float) -> Extent:
    """Return a few cells."""
    setups = [Setup(model=model, size=16, replicas=1) for model in ("noop", "affine")]
    return Extent(setups=setups, connections=[1, 64], rates_qps=[500, 1000], seconds=seconds)


def measured(system: System, python: Path | None, setup: Setup, extent: Extent, processes: int) -> Iterator[Cell]:
    """Start a system, measure all cells of a setup, and end it."""
    groups = [(setup, list(extent.connections), extent.rates_qps)]
    if system.apart and 1 in extent.connections:
        several = [connections for connections in extent.connections if connections > 1]
        groups = [(replace(setup, lonely=True), [1], []), (setup, several, extent.rates_qps)]
    for started, connections, rates_qps in groups:
        with room(system.name, python) as taken:
            system.start(taken, started)
            taken.until(lambda: answers(system), "the first query")
            taken.settle()
            served = Served(system, setup, taken, processes)
            for count in connections:
                yield served.closed(count, extent.seconds)
            yield from rising(served, rates_qps, extent.seconds)


def rising(served: Served, rates_qps: Sequence[float], seconds: float) -> Iterator[Cell]:
    """Measure open loops up to the first rate that is not sustained, which gets a second chance: it may be noise."""
    for seed, rate in enumerate(rates_qps):
        for _ in range(2):
            cell = served.open(rate, seconds, seed)
            yield cell
            if cell.sustained:
                break
        else:
            return


HEAD = (
    "| system | model | doubles | replicas | load | requests/s | P50 ms | P99 ms | CPU s/1,000 | MiB | errors "
    "| generator | others | counts |\n"
    "| --- | --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | --- | ---: | ---: | --- |"
)


def row(cell: Cell) -> str:
    """Return a cell as a row of a Markdown table."""
    load = f"{cell.connections} connections" if cell.asked_qps is None else f"{cell.asked_qps:,.0f}/s"
    errors = ", ".join(f"{count} {kind}" for kind, count in cell.errors.items())
    return (
        f"| {cell.system} | {cell.model} | {cell.size} | {cell.replicas} | {load} | {cell.served_qps:,.0f} "
        f"| {_shown(cell.p50_s, 1e3, 2)} | {_shown(cell.p99_s, 1e3, 2)} | {_shown(cell.cpu_s_per_1000, 1, 3)} "
        f"| {cell.memory_bytes / 2**20:.0f} | {errors or '-'} | {cell.generator_share:.0%} | {cell.others_cores:.1f} "
        f"| {cell.why or 'yes'} |"
    )


def _shown(value: float | None, factor: float, digits: int) -> str:
    return "-" if value is None else f"{value * factor:.{digits}f}"


def machine() -> dict[str, object]:
    """Return what the figures depend on."""
    processor = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": processor.group(1) if processor else platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a few cells")
    parser.add_argument("--seconds", type=float, help="length of a cell: 5, quick 2")
    parser.add_argument(
        "--rounds", type=int, default=1, help="times that everything is measured; medians are compared"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all cells")
    parser.add_argument("--defaults", action="store_true", help="measure the peers as they come, too")
    parser.add_argument("--systems", metavar="A,B", help=f"only these, of {', '.join(SYSTEMS)}")
    parser.add_argument("--generators", type=int, default=1, help="processes of the load generator")
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path(os.environ.get("INFERLINE_PEERS", "build/peers")),
        metavar="DIR",
        help="environments of the peers (INFERLINE_PEERS, or build/peers)",
    )
    parser.add_argument(
        "--open-network",
        action="store_true",
        help="no network of its own: ports from 8000 must be free, and Ray's can be reached from outside",
    )
    parser.add_argument("--confined", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    chosen.names = chosen.systems.split(",") if chosen.systems else list(SYSTEMS) if chosen.defaults else TUNED
    if unknown := [name for name in chosen.names if name not in SYSTEMS]:
        parser.error(f"--systems: there is no {', '.join(unknown)}; there are {', '.join(SYSTEMS)}")
    return chosen


def main() -> None:
    """Install, confine, measure, print, and write if asked."""
    arguments = sys.argv[1:]
    chosen = options(arguments)
    systems = [SYSTEMS[name] for name in chosen.names]
    if not chosen.confined:
        for name in dict.fromkeys(system.python for system in systems if system.python is not None):
            environment(name, chosen.peers)
        if not chosen.open_network:
            confine("benchmarks.serving", [*arguments, "--confined"])
    else:
        raise_loopback()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    extent = (quick if chosen.quick else everything)(chosen.seconds or (2.0 if chosen.quick else 5.0))
    print(f"{machine()}\n")
    for system in systems:
        print(f"- {system.name}: {system.settings}{_pinned(system)}")
    print(f"\n{HEAD}", flush=True)
    cells: list[Cell] = []
    failures: list[str] = []
    try:
        for setup in [setup for _ in range(chosen.rounds) for setup in extent.setups]:
            for system in systems:
                if system.bare and (setup.model != "noop" or setup.replicas > 1):
                    continue
                try:
                    for cell in measured(system, _python(system, chosen.peers), setup, extent, chosen.generators):
                        cells.append(cell)
                        print(row(cell), flush=True)
                except OutsideError as error:
                    failures.append(str(error))
                    print(f"| {system.name} | {setup.model} | {setup.size} | {setup.replicas} | failed: see below |")
    finally:
        report(cells, failures, chosen.json)


def report(cells: Sequence[Cell], failures: Sequence[str], path: Path | None) -> None:
    """Print the comparison of what was measured, and write it if asked."""
    for table in comparison_tables(cells) if cells else []:
        print(f"\n{table}")
    found = claims(cells)
    print("\n" + "\n".join(claim_lines(found)))
    for failure in failures:
        print(f"\nfailed: {failure}")
    if path is not None:
        document = {
            "machine": machine(),
            "cells": [asdict(cell) for cell in cells],
            "claims": [
                {
                    "what": claim.what,
                    "against": claim.peer,
                    "ahead": claim.ahead,
                    "ratios": [[*point, ratio] for point, ratio in claim.ratios.items()],
                }
                for claim in found
            ],
            "failures": failures,
        }
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _python(system: System, peers: Path) -> Path | None:
    return None if system.python is None else peers.absolute() / system.python / "bin" / "python"


def _pinned(system: System) -> str:
    return "" if system.python is None else f" ({', '.join(versions(system.python))})"


if __name__ == "__main__":
    try:
        main()
    except InferlineError as error:
        raise SystemExit(str(error)) from error
    except KeyboardInterrupt as error:
        raise SystemExit(130) from error
