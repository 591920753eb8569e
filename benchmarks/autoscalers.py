"""The question: which autoscaler holds the SLO at what cost, in the simulator.

The protocol of the InferLine paper (Crankshaw et al., SoCC 2020, section 6): a trace is rescaled to at most 300
queries/s, the pipeline is planned from its first quarter, and the rest is served under each policy, from that plan
on. Three pipelines, every trace that ships with the examples, replicas that take 5 s and 30 s to start. A replica is
paid from its request until it has finished its last batch; a query is missed when it takes longer than the SLO says.

Every policy starts from the same plan. The paper's coarse-grained baselines start from their own: the pipeline as one
unit, for the mean or for the peak rate of the first quarter, and AutoScale on top.

    python -m benchmarks.autoscalers                     # some 2 minutes on two idle cores
    python -m benchmarks.autoscalers --quick             # one trace, one delay
    python -m benchmarks.autoscalers --traces FOLDER     # further traces
    python -m benchmarks.autoscalers --write README.md   # and put the totals between the marks in the README

The constants of `twin` and of `certified` were chosen on these very traces: a rate of growth that is insured, and a
share of late queries that a simulation may show. Neighbouring values give neighbouring figures. On two pipelines that
they were not chosen on:

    python -m benchmarks.autoscalers --pipeline tf-cascade --pipeline modern-gpus
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from benchmarks.marks import between_marks
from inferline.cli.tables import share
from inferline.domain import Plan, Trace, draw_routes
from inferline.domain.arrivals import PerSecondCounts
from inferline.files import load, read_trace
from inferline.laboratory import experiment_of, judge, replay
from inferline.units import NANO
from planner import Found, Infeasible, Problem, coarse, plan_of, pose, search
from tuner.policies import POLICIES

EXAMPLES = Path(__file__).parent.parent / "examples"
PIPELINES = ("image-processing", "video-monitoring", "social-media")
UNSEEN = ("tf-cascade", "modern-gpus")
"""Those on which no constant was chosen."""

QUICK = ("worldcup98_19980608_1min_as_1s",)
PEAK_QPS = 300
PLANNED_FROM = 0.25
ACTIVATION_S = (5, 30)

OURS = ("twin", "certified")
PUBLISHED = "inferline"
RIVALS = ("hpa", "kpa", "keda", "ray", "cg-autoscale")
COARSE: dict[str, Literal["mean", "peak"]] = {"cg-mean+autoscale": "mean", "cg-peak+autoscale": "peak"}
"""The paper's coarse-grained baselines: the rate that their plan is made for; the policy is ``cg-autoscale``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One policy in one cell."""

    pipeline: str
    trace: str
    activation_s: int
    policy: str
    queries: int
    late: int
    cost_usd: float
    oscillations: int
    seconds: float

    @property
    def cell(self) -> tuple[str, str, int]:
        """What all policies are compared on."""
        return self.pipeline, self.trace, self.activation_s

    @property
    def miss_rate(self) -> float:
        """Share of the queries that were late."""
        return self.late / self.queries


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """One policy in all cells."""

    policy: str
    queries: int
    late: int
    cost_usd: float

    @property
    def miss_rate(self) -> float:
        """Share of all queries that were late."""
        return self.late / self.queries


def rescaled(path: Path) -> Trace:
    """Return a trace with at most `PEAK_QPS` queries in its busiest second."""
    found = read_trace(path)
    peak = found.peak if isinstance(found, PerSecondCounts) else found.peak_qps()
    if peak > PEAK_QPS:
        found = found.scaled(PEAK_QPS / peak)
    return found.spread() if isinstance(found, PerSecondCounts) else found


def cells(pipeline_name: str, trace_file: Path, activations: Sequence[int], policies: Sequence[str]) -> list[Row]:
    """Plan one pipeline for one trace, and serve the rest of it under every policy with every activation delay."""
    inputs = load(EXAMPLES / pipeline_name / "pipeline.yaml")
    pipeline, profiles = inputs.pipeline, inputs.profiles
    trace = rescaled(trace_file)
    first, rest = trace.first(PLANNED_FROM), trace.rest(PLANNED_FROM)
    routes = draw_routes(pipeline, len(trace))
    problem = pose(pipeline, profiles, first, {edge: mask[: len(first)] for edge, mask in routes.items()})
    found = search(problem, "exact")
    if isinstance(found, Infeasible):
        print(f"{pipeline_name} on {trace_file.name}: {found.sentence(problem)}", file=sys.stderr)
        return []
    plan = plan_of(problem, found, "exact", {})
    served = [(name, name, plan) for name in policies]
    served += [(name, "cg-autoscale", _coarse(problem, rate)) for name, rate in COARSE.items()]
    rows = []
    for activation_s in activations:
        for name, policy, start in served:
            began = time.perf_counter()
            experiment = experiment_of(
                pipeline,
                profiles,
                start,
                rest,
                {edge: mask[len(first) :] for edge, mask in routes.items()},
                {stage.name: activation_s * NANO for stage in pipeline.stages},
            )
            verdict = judge(replay(experiment, name, POLICIES[policy].policy, POLICIES[policy].period_ns))
            rows.append(
                Row(
                    pipeline=pipeline_name,
                    trace=trace_file.name.partition(".")[0],
                    activation_s=activation_s,
                    policy=name,
                    queries=verdict.queries,
                    late=verdict.late,
                    cost_usd=verdict.cost_nano_usd / NANO,
                    oscillations=verdict.oscillations,
                    seconds=time.perf_counter() - began,
                )
            )
    return rows


def _coarse(problem: Problem, rate: Literal["mean", "peak"]) -> Plan:
    configuration = coarse(problem, rate)
    return plan_of(problem, Found(configuration=configuration, lower_bound_nano_usd_per_hour=0), f"cg-{rate}", {})


def totals(rows: Sequence[Row]) -> dict[str, Total]:
    """Return every policy over all cells."""
    return {
        name: Total(
            policy=name,
            queries=sum(row.queries for row in rows if row.policy == name),
            late=sum(row.late for row in rows if row.policy == name),
            cost_usd=sum(row.cost_usd for row in rows if row.policy == name),
        )
        for name in dict.fromkeys(row.policy for row in rows)
    }


def cell_table(rows: Sequence[Row]) -> str:
    """Return cost and miss rate of every cell, as Markdown."""
    policies = list(dict.fromkeys(row.policy for row in rows))
    lines = [
        f"| pipeline | trace | start | {' | '.join(policies)} |",
        f"| --- | --- | ---: |{' ---: |' * len(policies)}",
    ]
    by_cell: dict[tuple[str, str, int], dict[str, Row]] = {}
    for row in rows:
        by_cell.setdefault(row.cell, {})[row.policy] = row
    for (pipeline, trace, activation_s), of in by_cell.items():
        figures = [f"${of[name].cost_usd:.2f} {share(of[name].miss_rate, 2)}" for name in policies]
        lines.append(f"| {pipeline} | {trace} | {activation_s} s | {' | '.join(figures)} |")
    return "\n".join(lines)


def total_table(rows: Sequence[Row]) -> str:
    """Return every policy over all cells, as Markdown."""
    lines = [
        "| policy | cost | missed | queries missed | changes taken back |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, total in totals(rows).items():
        own = [row for row in rows if row.policy == name]
        lines.append(
            f"| {name} | ${total.cost_usd:.2f} | {share(total.miss_rate, 3)} | {total.late:,} "
            f"| {sum(row.oscillations for row in own):,} |"
        )
    return "\n".join(lines)


def verdicts(rows: Sequence[Row]) -> Iterator[str]:
    """Yield what was to be shown, and whether the figures show it."""
    over_all = totals(rows)
    for name in OURS:
        ours = over_all[name]
        for rival in RIVALS:
            theirs = over_all[rival]
            shown = ours.late * 10 <= theirs.late and ours.cost_usd <= theirs.cost_usd
            yield (
                f"{_mark(shown)} {name} misses at most a tenth of {rival} at no higher cost: "
                f"{_ratio(ours.miss_rate, theirs.miss_rate)} of the misses, "
                f"{_ratio(ours.cost_usd, theirs.cost_usd)} of the cost"
            )
        theirs = over_all[PUBLISHED]
        shown = ours.late <= theirs.late and ours.cost_usd <= theirs.cost_usd
        yield (
            f"{_mark(shown)} {name} neither costs nor misses more than {PUBLISHED} in total: "
            f"{_ratio(ours.miss_rate, theirs.miss_rate)} of the misses, "
            f"{_ratio(ours.cost_usd, theirs.cost_usd)} of the cost"
        )
        good, both = _no_worse(rows, name, PUBLISHED)
        yield f"{_mark(good >= 0.8 * both)} ... and in at least 80% of the cells: in {good} of {both}"


def headline(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the paper's headline beside ours: the most that coarse-grained provisioning costs and misses more."""
    yield "paper    up to 7.6x lower cost and up to 34.5x lower miss rate than coarse-grained provisioning"
    for name in OURS:
        ours = {row.cell: row for row in rows if row.policy == name}
        for rival in COARSE:
            theirs = [row for row in rows if row.policy == rival]
            cost = max(row.cost_usd / ours[row.cell].cost_usd for row in theirs)
            missed = [row.late / ours[row.cell].late for row in theirs if ours[row.cell].late]
            never = sum(ours[row.cell].late == 0 for row in theirs)
            most = f"up to {max(missed):,.1f}x lower miss rate" if missed else "no miss of ours to compare with"
            yield (
                f"{name} against {rival}: up to {cost:.1f}x lower cost, {most} "
                f"(ours missed nothing in {never} of {len(theirs)} cells)"
            )


def _no_worse(rows: Sequence[Row], name: str, rival: str) -> tuple[int, int]:
    """Return in how many cells a policy neither costs nor misses more than another, and how many there are."""
    ours = {row.cell: row for row in rows if row.policy == name}
    theirs = {row.cell: row for row in rows if row.policy == rival}
    good = [ours[cell].late <= row.late and ours[cell].cost_usd <= row.cost_usd for cell, row in theirs.items()]
    return sum(good), len(good)


def _mark(shown: bool) -> str:
    return "shown    " if shown else "NOT SHOWN"


def _ratio(ours: float, theirs: float) -> str:
    if theirs == 0:
        return "all" if ours else "none"
    return share(ours / theirs)


def main() -> None:
    """Replay every policy on every cell, print, and say what is shown."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="one trace and the first activation delay")
    options.add_argument("--traces", type=Path, metavar="FOLDER", help="further traces: *.csv and *.csv.gz")
    options.add_argument(
        "--pipeline", action="append", choices=(*PIPELINES, *UNSEEN), help="only this one; may be given again"
    )
    options.add_argument("--policy", action="append", choices=list(POLICIES), help="only this; without the verdicts")
    options.add_argument("--activation", type=int, action="append", metavar="S", help="seconds; default 5 and 30")
    options.add_argument("--processes", type=int, default=os.cpu_count(), metavar="N")
    options.add_argument("--write", type=Path, metavar="README.md")
    options.add_argument("--format", choices=["table", "json"], default="table")
    chosen = options.parse_args()
    files = sorted((EXAMPLES / "traces").glob("*.csv*"))
    if chosen.traces is not None:
        known = {file.name for file in files}
        files += [file for file in sorted(chosen.traces.glob("*.csv*")) if file.name not in known]
    if chosen.quick:
        files = [file for file in files if file.name.partition(".")[0] in QUICK]
    activations = chosen.activation or (ACTIVATION_S[:1] if chosen.quick else ACTIVATION_S)
    policies = chosen.policy or list(POLICIES)
    began = time.perf_counter()
    rows: list[Row] = []
    with ProcessPoolExecutor(chosen.processes) as processes:
        asked = [
            (name, file, processes.submit(cells, name, file, activations, policies))
            for name in chosen.pipeline or PIPELINES
            for file in files
        ]
        for place, (name, file, answer) in enumerate(asked, start=1):
            rows += answer.result()
            print(f"{place} of {len(asked)}: {name} on {file.name}", file=sys.stderr)
    if chosen.format == "json":
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    print(f"{cell_table(rows)}\n\n{total_table(rows)}\n")
    if chosen.policy is None:
        print("\n".join([*verdicts(rows), "", *headline(rows)]))
    if chosen.write is not None:
        document = chosen.write.read_text(encoding="utf-8")
        said = "\n".join([*verdicts(rows), "", *headline(rows)])
        text = f"{total_table(rows)}\n\n```\n{said}\n```"
        document = between_marks(document, "python -m benchmarks.autoscalers", text)
        chosen.write.write_text(document, encoding="utf-8")
    print(f"\n{len(rows)} replays in {time.perf_counter() - began:.0f} s on {chosen.processes} processes")


if __name__ == "__main__":
    main()
