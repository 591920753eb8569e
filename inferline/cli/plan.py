"""``inferline plan``."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.table import Table

from inferline.cli.outputs import FORMAT, write_text
from inferline.cli.progress import working
from inferline.cli.tables import latency_line, print_tables, share, stage_table
from inferline.domain import Configuration, Pipeline, Plan
from inferline.errors import InfeasibleError
from inferline.files import load, write_plan
from inferline.units import format_duration, format_usd
from planner import PLANNERS, Baseline, Infeasible, baselines, make_plan, pose

__all__ = ["command"]


@click.command()
@click.argument("pipeline", type=click.Path(path_type=Path))
@click.option(
    "--planner", type=click.Choice(list(PLANNERS)), default="greedy", show_default=True, help="Which search to use."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="plan.json", help="Write the plan to this file.")
@FORMAT
def command(pipeline: Path, planner: str, out: Path | None, form: str) -> None:
    """Find the cheapest configuration that meets the SLO.

    PIPELINE is a pipeline.yaml: stages, hardware, profiles, traffic and the SLO.

    \b
    Example:
      inferline plan examples/social-media/pipeline.yaml --out plan.json
    """
    with working(f"reading {pipeline}") as tell:
        inputs = load(pipeline)
        tell("drawing routes")
        problem = pose(inputs.pipeline, inputs.profiles, inputs.trace)

        def observe(action: str, configuration: Configuration) -> None:
            cost = configuration.cost_nano_usd_per_hour(inputs.pipeline)
            tell(f"{planner}: {action}, now {format_usd(cost)}/h")

        tell(f"{planner}: simulating {len(inputs.trace):,} queries")
        answer = make_plan(problem, planner, inputs.digests, observe)
        if isinstance(answer, Infeasible):
            if form == "json":
                click.echo(json.dumps(_refusal(inputs.pipeline, answer), indent=2))
            raise InfeasibleError(answer.sentence(problem))
        tell("simulating the coarse-grained baselines")
        compared = baselines(problem) if form == "table" else ()
    document = write_plan(answer)
    if out is not None:
        write_text(out, document)
    if form == "json":
        click.echo(document, nl=False)
        return
    print_tables(
        [
            stage_table(inputs.pipeline, answer.configuration, answer.predicted),
            f"{latency_line(answer.slo, answer.predicted)}\n{_cost_line(answer)}",
            _comparison(answer, compared),
        ]
    )


def _refusal(pipeline: Pipeline, answer: Infeasible) -> dict[str, object]:
    return {
        "version": 1,
        "pipeline": pipeline.name,
        "status": "infeasible",
        "stage": answer.stage,
        "best_latency_s": answer.best_latency_ns / 1e9,
        "proved": answer.proved,
    }


def _cost_line(plan: Plan) -> str:
    cost = format_usd(plan.cost_nano_usd_per_hour)
    if plan.status == "optimal":
        return f"cost     {cost}/h, proved optimal"
    bound = format_usd(plan.lower_bound_nano_usd_per_hour)
    return f"cost     {cost}/h (no plan can cost less than {bound}/h: gap {share(plan.gap)})"


def _comparison(plan: Plan, compared: tuple[Baseline, ...]) -> Table:
    """Return the plan beside coarse-grained provisioning: cost and miss rate together."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "$/h", "cost of this plan", "late", f"P{plan.slo.percentile}"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)

    def row(name: str, nano_usd: int, late: float, at_s: float) -> None:
        saving = f"{nano_usd / plan.cost_nano_usd_per_hour:.2f}x" if plan.cost_nano_usd_per_hour else "-"
        table.add_row(name, format_usd(nano_usd), saving, share(late, 2), format_duration(at_s * 1e9))

    row(
        f"this plan ({plan.planner})",
        plan.cost_nano_usd_per_hour,
        plan.predicted.miss_rate,
        plan.predicted.at_slo_percentile_s,
    )
    for each in compared:
        row(each.name, each.cost_nano_usd_per_hour, each.predicted.miss_rate, each.predicted.at_slo_percentile_s)
    return table
