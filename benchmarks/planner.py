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
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.marks import between_marks
from inferline.cli.tables import share
from inferline.files import load
from inferline.units import format_duration
from planner import Estimator, Infeasible, baselines, greedy, measure, pose, search

EXAMPLES = Path(__file__).parent.parent / "examples"
SHOWN = "examples/social-media/pipeline.yaml"


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


def command_s(arguments: list[str], runs: int) -> float:
    """Return the median seconds of the whole process; the first run may still compile and does not count."""
    command = [sys.executable, "-m", "inferline", *arguments]
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
        greedy_command_s=command_s(["plan", str(pipeline_file), "--planner", "greedy"], runs),
        exact_command_s=command_s(["plan", str(pipeline_file)], runs),
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
        "| example | `inferline plan`, whole process | `--planner greedy` | greedy: stations simulated | reused |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row.example} | {row.exact_command_s:.2f} s | {row.greedy_command_s:.2f} s "
        f"| {row.simulated} | {row.reused} |"
        for row in rows
    ]
    return "\n".join(lines)


def small_times(runs: int) -> str:
    """Return the seconds of the help, and of a plan from 10,000 queries: a quarter of the tf-cascade example."""
    source = EXAMPLES / "tf-cascade" / "pipeline.yaml"
    text = source.read_text(encoding="utf-8").replace("workload:", "workload:\n  sample: 25%")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(EXAMPLES / "traces", Path(folder) / "traces")
        shutil.copytree(source.parent, Path(folder) / "quarter")
        pipeline_file = Path(folder) / "quarter" / "pipeline.yaml"
        pipeline_file.write_text(text, encoding="utf-8")
        queries = len(load(pipeline_file).trace)
        plan_s = command_s(["plan", str(pipeline_file)], runs)
    help_s = command_s(["--help"], runs)
    return f"`inferline --help` takes {help_s:.2f} s, a plan from {queries:,} queries {plan_s:.2f} s."


def shown_output() -> str:
    """Return what the command prints for the example that the README shows."""
    command = [sys.executable, "-m", "inferline", "plan", SHOWN]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, cwd=EXAMPLES.parent)
    return f"```\n$ inferline plan {SHOWN}\n{ended.stdout.rstrip()}\n```"


def main() -> None:
    """Measure every example, print, and write if asked."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=3, help="counted runs of the command per example")
    options.add_argument("--format", choices=["table", "json"], default="table")
    options.add_argument("--write", type=Path, metavar="README.md")
    chosen = options.parse_args()
    rows = [measured(path, chosen.runs) for path in sorted(EXAMPLES.glob("*/pipeline.yaml"))]
    text = f"{cost_table(rows)}\n\n{time_table(rows)}\n\n{small_times(chosen.runs)}"
    if chosen.format == "json":
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        print(text)
    if chosen.write is not None:
        document = chosen.write.read_text(encoding="utf-8")
        document = between_marks(document, f"inferline plan {SHOWN}", shown_output())
        document = between_marks(
            document, "python -m benchmarks.planner", f"{cost_table(rows)}\n\n{time_table(rows)}"
        )
        chosen.write.write_text(document, encoding="utf-8")


if __name__ == "__main__":
    main()
