"""``inferline simulate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from inferline.cli.outputs import FORMAT, write_text
from inferline.cli.progress import working
from inferline.cli.remarks import say_remarks
from inferline.cli.tables import latency_line, print_tables, stage_tables
from inferline.files import load, prediction_document, read_configuration
from inferline.units import format_usd
from planner import pose, predict
from simulator import simulate

__all__ = ["command"]


@click.command()
@click.argument("pipeline", type=click.Path(path_type=Path))
@click.option("--plan", "plan", type=click.Path(path_type=Path), required=True, help="plan.json to simulate.")
@click.option("--trace", type=click.Path(path_type=Path), help="Another trace than the pipeline's, as it is.")
@click.option(
    "--engine",
    type=click.Choice(["kernel", "reference"]),
    default="kernel",
    show_default=True,
    help="The compiled kernel, or the SimPy reference: the same result, some 200 times slower.",
)
@click.option("--latencies", type=click.Path(path_type=Path), metavar="out.csv", help="Write every query's latency.")
@FORMAT
def command(
    pipeline: Path,
    plan: Path,
    trace: Path | None,
    engine: Literal["kernel", "reference"],
    latencies: Path | None,
    form: str,
) -> None:
    """Say what a configuration would do on a trace.

    PIPELINE is a pipeline.yaml; the configuration comes from the plan.

    \b
    Example:
      inferline simulate pipeline.yaml --plan plan.json --trace tomorrow.csv.gz
    """
    with working(f"reading {pipeline}") as tell:
        inputs = load(pipeline, trace=trace)
        configuration = read_configuration(plan, inputs.pipeline, inputs.profiles)
        say_remarks(inputs, {(each.model, configuration[each.name].hardware) for each in inputs.pipeline.stages})
        problem = pose(inputs.pipeline, inputs.profiles, inputs.trace)
        tell(f"simulating {len(inputs.trace):,} queries")
        result = simulate(problem.network(configuration), inputs.trace.arrival_ns, problem.routes, engine)
        predicted = predict(problem, configuration, result)
        if latencies is not None:
            tell(f"writing {latencies}")
            times = zip(inputs.trace.arrival_ns.tolist(), result.latency_ns.tolist(), strict=True)
            lines = [f"{arrival_ns / 1e9:.9f},{latency_ns / 1e9:.9f}" for arrival_ns, latency_ns in times]
            write_text(latencies, "\n".join(["arrival_s,latency_s", *lines, ""]))
    if form == "json":
        click.echo(json.dumps({**prediction_document(predicted), "slo_met": predicted.slo_met}, indent=2))
        return
    cost = configuration.cost_nano_usd_per_hour(inputs.pipeline)
    print_tables(
        [
            *stage_tables(inputs.pipeline, configuration, predicted),
            f"{latency_line(inputs.pipeline.slo, predicted)}\ncost     {format_usd(cost)}/h",
        ]
    )
