"""The question: how fast is the planner, and what does a plan save.

For every example: seconds of ``inferline plan`` as a whole process (start-up included, compiled cache warm), stations
simulated by the search and stations whose departures were there already, and cost and miss rate beside the paper's
coarse-grained baselines CG-Mean and CG-Peak on the same trace in the same simulator.

    python -m benchmarks.planner                      # print the tables
    python -m benchmarks.planner --write README.md    # and put them between the marks in the README
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from inferline.cli.tables import share
from inferline.files import load
from inferline.units import format_duration
from planner import Estimator, Infeasible, baselines, greedy, measure, pose

EXAMPLES = Path(__file__).parent.parent / "examples"
BEGIN = "<!-- begin: python -m benchmarks.planner --write README.md -->"
END = "<!-- end -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One example, planned."""

    example: str
    stages: int
    queries: int
    slo: str
    command_s: float
    search_s: float
    simulated: int
    reused: int
    cost: float
    late: float
    mean_cost: float
    mean_late: float
    peak_cost: float
    peak_late: float


def measured(pipeline_file: Path, runs: int) -> Row:
    """Plan one example in this process for the figures, and as commands for the time."""
    times = []
    for _ in range(runs + 1):  # the first run may still compile; it does not count
        start = time.perf_counter()
        command = [sys.executable, "-m", "inferline", "plan", str(pipeline_file)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    inputs = load(pipeline_file)
    start = time.perf_counter()
    problem = pose(inputs.pipeline, inputs.profiles, inputs.trace)
    estimator = Estimator(problem)
    answer = greedy(estimator)
    search_s = time.perf_counter() - start
    if isinstance(answer, Infeasible):
        raise SystemExit(answer.sentence(problem))
    predicted = measure(problem, answer)
    mean, peak = baselines(problem)
    slo = inputs.pipeline.slo
    return Row(
        example=pipeline_file.parent.name,
        stages=len(inputs.pipeline.stages),
        queries=len(inputs.trace),
        slo=f"{format_duration(slo.latency_ns)} at P{slo.percentile}",
        command_s=statistics.median(times[1:]),
        search_s=search_s,
        simulated=estimator.simulated,
        reused=estimator.reused,
        cost=answer.cost_nano_usd_per_hour(inputs.pipeline) / 1e9,
        late=predicted.miss_rate,
        mean_cost=mean.cost_nano_usd_per_hour / 1e9,
        mean_late=mean.predicted.miss_rate,
        peak_cost=peak.cost_nano_usd_per_hour / 1e9,
        peak_late=peak.predicted.miss_rate,
    )


def cost_table(rows: list[Row]) -> str:
    """Return cost and miss rate against the baselines, as Markdown."""
    lines = [
        "| example | stages | queries | SLO | plan $/h (late) | CG-Mean $/h (late) | CG-Peak $/h (late) "
        "| CG-Peak / plan |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row.example} | {row.stages} | {row.queries:,} | {row.slo} "
        f"| {row.cost:.2f} ({share(row.late, 2)}) | {row.mean_cost:.2f} ({share(row.mean_late, 2)}) "
        f"| {row.peak_cost:.2f} ({share(row.peak_late, 2)}) | {row.peak_cost / row.cost:.2f}x |"
        for row in rows
    ]
    return "\n".join(lines)


def time_table(rows: list[Row]) -> str:
    """Return time and simulations spent, as Markdown."""
    lines = [
        "| example | `inferline plan`, whole process | search alone | stations simulated | reused |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row.example} | {row.command_s:.2f} s | {row.search_s:.2f} s | {row.simulated} | {row.reused} |"
        for row in rows
    ]
    return "\n".join(lines)


def write_between_marks(path: Path, text: str) -> None:
    """Replace what stands between the marks of a file."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Measure every example, print, and write if asked."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=3, help="counted runs of the command per example")
    options.add_argument("--format", choices=["table", "json"], default="table")
    options.add_argument("--write", type=Path, metavar="README.md")
    chosen = options.parse_args()
    rows = [measured(path, chosen.runs) for path in sorted(EXAMPLES.glob("*/pipeline.yaml"))]
    if chosen.format == "json":
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        print(f"{cost_table(rows)}\n\n{time_table(rows)}")
    if chosen.write is not None:
        write_between_marks(chosen.write, f"{cost_table(rows)}\n\n{time_table(rows)}")


if __name__ == "__main__":
    main()
