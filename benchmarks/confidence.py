"""The question: does a plan with confidence keep its promise in worlds it has never seen, and what does that cost.

For every example: plan with confidence 0.95, then resample worlds with another seed, which neither planning, checking
nor the plan's own validation has used, and count in how many of them the SLO is met - by that plan, and by the exact
plan for the trace itself. Longer traces than 300,000 queries are cut to their first part. With ``--slo 1 0.8`` each
example is planned at its own SLO and at 0.8 times its latency, which moves plans to other edges of feasibility.

    python -m benchmarks.confidence
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from inferline.cli.tables import share
from inferline.files import load
from inferline.units import format_usd
from planner import Infeasible, Problem, pose, search
from planner.uncertainty.confidence import plan_with_confidence
from planner.uncertainty.world_shares import Share, met_in
from planner.uncertainty.worlds import Profiles, Worlds

EXAMPLES = Path(__file__).parent.parent / "examples"
MOST_QUERIES = 300_000
OTHER_SEED = 20_260_101


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One plan."""

    name: str
    slo: float
    queries: int
    exact_nano_usd: int
    confident_nano_usd: int
    bound_nano_usd: int
    planned: Share
    required: int
    rounds: int
    exact_fresh: Share
    confident_fresh: Share
    seconds: float


def problem_of(path: Path, slo_factor: float) -> tuple[Problem, Profiles]:
    """Return an example's problem, with another SLO latency and the first part of a long trace."""
    inputs = load(path)
    trace = inputs.trace
    if len(trace) > MOST_QUERIES:
        # The cut is by duration, as the rate varies: at the instant of the last query that is kept.
        trace = trace.first(int(trace.arrival_ns[MOST_QUERIES]) / trace.duration_ns)
    slo = replace(inputs.pipeline.slo, latency_ns=round(inputs.pipeline.slo.latency_ns * slo_factor))
    return pose(replace(inputs.pipeline, slo=slo), inputs.profiles, trace), inputs.profiles


def measured(path: Path, slo_factor: float, confidence: float, fresh: int, time_limit_s: float) -> Row | str:
    """Plan one example both ways and hold the plans against fresh worlds; or say why there is no plan."""
    problem, profiles = problem_of(path, slo_factor)
    plain = search(problem, "exact", time_limit_s=time_limit_s)
    if isinstance(plain, Infeasible):
        return f"{path.parent.name}, SLO x {slo_factor}: {plain.reason}"
    start = time.perf_counter()
    answer = plan_with_confidence(problem, profiles, plain.configuration, confidence, time_limit_s=time_limit_s)
    seconds = time.perf_counter() - start
    if isinstance(answer, Infeasible):
        return f"{path.parent.name}, SLO x {slo_factor}: {answer.reason}"
    worlds = Worlds(problem, profiles, seed=OTHER_SEED)
    shares = met_in(worlds, range(fresh), [answer.configuration, plain.configuration])
    return Row(
        name=path.parent.name,
        slo=slo_factor,
        queries=len(problem.trace),
        exact_nano_usd=plain.configuration.cost_nano_usd_per_hour(problem.pipeline),
        confident_nano_usd=answer.configuration.cost_nano_usd_per_hour(problem.pipeline),
        bound_nano_usd=answer.lower_bound_nano_usd_per_hour,
        planned=answer.planned,
        required=answer.required,
        rounds=len(answer.checked),
        exact_fresh=shares[1],
        confident_fresh=shares[0],
        seconds=seconds,
    )


def print_row(row: Row) -> None:
    """Print one line of the table."""
    low, high = row.confident_fresh.interval()
    print(
        f"{row.name:17} {row.slo:4.2f} {row.queries:8,} "
        f"{format_usd(row.exact_nano_usd):>8} {share(row.exact_fresh.value):>6} | "
        f"{format_usd(row.confident_nano_usd):>8} {row.confident_nano_usd / row.exact_nano_usd:5.2f}x "
        f"{format_usd(row.bound_nano_usd):>7} {row.planned.met:4} of {row.planned.of:3} ({row.required:3}) "
        f"{row.rounds:6} {share(row.confident_fresh.value):>7} {share(low):>6} - {share(high):>6} "
        f"{row.seconds:5.0f} s",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--confidence", type=float, default=0.95)
    parser.add_argument("--fresh", type=int, default=200, help="worlds that nothing was planned with")
    parser.add_argument("--slo", type=float, nargs="+", default=[1.0], help="factors on the SLO's latency")
    parser.add_argument("--time-limit", type=float, default=30.0, help="seconds, of each of the two searches")
    given = parser.parse_args(arguments)
    print(
        f"confidence {given.confidence}, {given.fresh} fresh worlds of another seed; $/h; met of planning worlds "
        f"(needed); share of fresh worlds with Wilson's 95 % interval\n"
        f"{'':17} {'SLO':>4} {'queries':>8} {'exact':>8} {'fresh':>6} | {'confident':>8} {'cost':>5} {'bound':>7} "
        f"{'planned':>17} {'rounds':>6} {'fresh':>7} {'interval':>15} {'':>5}"
    )
    for slo in given.slo:
        for path in sorted(EXAMPLES.glob("*/pipeline.yaml")):
            row = measured(path, slo, given.confidence, given.fresh, given.time_limit)
            if isinstance(row, Row):
                print_row(row)
            else:
                print(row, flush=True)


if __name__ == "__main__":
    main()
