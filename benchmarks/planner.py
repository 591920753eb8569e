"""The question: how fast is the planner, and what does a plan save.

For every example: seconds of ``inferline plan`` as a whole process (start-up included, compiled cache warm), stations
simulated by the greedy search and stations whose departures were there already, and cost and miss rate of the exact
and the greedy plan beside the paper's coarse-grained baselines CG-Mean and CG-Peak, all on the same trace in the same
simulator.

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
from planner import Estimator, Infeasible, baselines, greedy, measure, pose, search

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
    greedy_command_s: float
    exact_command_s: float
    simulated: int
    reused: int
    cost: float
    late: float
    gap: float
    greedy_cost: float
    greedy_late: float
    mean_cost: float
    mean_late: float
    peak_cost: float
    peak_late: float


def command_s(pipeline_file: Path, planner: str, runs: int) -> float:
    """Return the median seconds of the whole process; the first run may still compile and does not count."""
    command = [sys.executable, "-m", "inferline", "plan", str(pipeline_file), "--planner", planner]
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def measured(pipeline_file: Path, runs: int) -> Row:
    """Plan one example in this process for the figures, and as commands for the time."""
    inputs = load(pipeline_file)
    problem = pose(inputs.pipeline, inputs.profiles, inputs.trace)
    estimator = Estimator(problem)
    published, best = greedy(estimator), search(problem, "exact")
    if isinstance(published, Infeasible) or isinstance(best, Infeasible):
        raise SystemExit(f"{pipeline_file}: infeasible")
    mean, peak = baselines(problem)
    slo = inputs.pipeline.slo
    cost = best.configuration.cost_nano_usd_per_hour(inputs.pipeline)
    return Row(
        example=pipeline_file.parent.name,
        stages=len(inputs.pipeline.stages),
        queries=len(inputs.trace),
        slo=f"{format_duration(slo.latency_ns)} at P{slo.percentile}",
        greedy_command_s=command_s(pipeline_file, "greedy", runs),
        exact_command_s=command_s(pipeline_file, "exact", runs),
        simulated=estimator.simulated,
        reused=estimator.reused,
        cost=cost / 1e9,
        late=measure(problem, best.configuration).miss_rate,
        gap=1 - best.lower_bound_nano_usd_per_hour / cost,
        greedy_cost=published.cost_nano_usd_per_hour(inputs.pipeline) / 1e9,
        greedy_late=measure(problem, published).miss_rate,
        mean_cost=mean.cost_nano_usd_per_hour / 1e9,
        mean_late=mean.predicted.miss_rate,
        peak_cost=peak.cost_nano_usd_per_hour / 1e9,
        peak_late=peak.predicted.miss_rate,
    )


def cost_table(rows: list[Row]) -> str:
    """Return cost and miss rate against the baselines, as Markdown."""
    lines = [
        "| example | stages | queries | SLO | exact $/h (late) | gap | greedy $/h (late) | CG-Mean $/h (late) "
        "| CG-Peak $/h (late) | CG-Peak / exact | CG-Peak / greedy |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row.example} | {row.stages} | {row.queries:,} | {row.slo} "
        f"| {row.cost:.2f} ({share(row.late, 2)}) | {'proved' if row.gap == 0 else share(row.gap)} "
        f"| {row.greedy_cost:.2f} ({share(row.greedy_late, 2)}) | {row.mean_cost:.2f} ({share(row.mean_late, 2)}) "
        f"| {row.peak_cost:.2f} ({share(row.peak_late, 2)}) | {row.peak_cost / row.cost:.2f}x "
        f"| {row.peak_cost / row.greedy_cost:.2f}x |"
        for row in rows
    ]
    return "\n".join(lines)


def time_table(rows: list[Row]) -> str:
    """Return time and simulations spent, as Markdown."""
    lines = [
        "| example | `inferline plan`, whole process | with `--planner greedy` | greedy: stations simulated | reused |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row.example} | {row.exact_command_s:.2f} s | {row.greedy_command_s:.2f} s "
        f"| {row.simulated} | {row.reused} |"
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
