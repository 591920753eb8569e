"""``inferline plan``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from inferline.cli.explain import explanation_tables
from inferline.cli.failures import INTERRUPTED
from inferline.cli.outputs import FORMAT, Seconds
from inferline.cli.plan_tables import comparison_table, cost_line, progress_words
from inferline.cli.planning import Asked, Made, make
from inferline.cli.progress import working
from inferline.cli.report import check_clients
from inferline.cli.sweep import check_options, run_sweep
from inferline.cli.sweep_range import Range, SweepRange
from inferline.cli.tables import latency_line, print_tables, stage_tables
from inferline.cli.uncertainty import CONFIDENCE, SENSITIVITY, check_alone, confident_cost_line, uncertainty_parts
from planner import PLANNERS, TIME_LIMIT_S

__all__ = ["command"]


@click.command()
@click.argument("pipeline", type=click.Path(path_type=Path))
@click.option(
    "--planner",
    type=click.Choice(list(PLANNERS)),
    default="exact",
    show_default=True,
    help="exact proves the optimum or states the gap; greedy is the published search; cg-* are its baselines.",
)
@click.option(
    "--time-limit",
    "time_limit_s",
    type=Seconds(),
    default=f"{TIME_LIMIT_S:.0f}s",
    show_default=True,
    metavar="S",
    help="When exact stops, with the best plan so far and its gap. So does ctrl-C.",
)
@click.option(
    "--survive",
    type=click.IntRange(0, 10),
    default=0,
    metavar="N",
    help="The SLO must hold with any N replicas of any one stage gone.",
)
@click.option("--explain", "explaining", is_flag=True, help="Say why this plan: what was rejected, and what binds.")
@click.option(
    "--sweep",
    "swept",
    type=Range(),
    metavar="WHAT=FROM..TO[:POINTS]",
    help="Cost against slo=100ms..1s, rate=0.5..2 or percentile=90..99.9; the time limit holds for each point.",
)
@click.option(
    "--picture", type=click.Path(path_type=Path), metavar="sweep.svg", help="Draw the sweep: .svg, .png or .pdf."
)
@CONFIDENCE
@SENSITIVITY
@click.option("--out", type=click.Path(path_type=Path), metavar="plan.json", help="Write the plan to this file.")
@click.option(
    "--report", type=click.Path(path_type=Path), metavar="report.html", help="Write a report to this file, as HTML."
)
@FORMAT
@click.pass_context
def command(
    context: click.Context,
    /,
    swept: SweepRange | None,
    picture: Path | None,
    **options: Any,  # noqa: ANN401 - the fields of Asked
) -> None:
    """Find the cheapest configuration that meets the SLO.

    PIPELINE is a pipeline.yaml: stages, hardware, profiles, traffic and the SLO.

    \b
    Example:
      inferline plan examples/social-media/pipeline.yaml --out plan.json
      inferline plan examples/social-media/pipeline.yaml --sweep slo=1s..3s
    """
    asked = Asked(**options)
    check_alone(asked.confidence, {"--survive": asked.survive, "--explain": asked.explaining})
    if swept is not None or picture is not None:
        context.exit(INTERRUPTED if _sweep(asked, swept, picture) else 0)
    if asked.report is not None:
        check_clients()
    with working(f"reading {asked.pipeline}") as tell:
        made = make(asked, tell)
    if asked.form == "json":
        click.echo(made.document, nl=False)
    else:
        _print(made)
    if made.interrupted:
        click.echo(f"interrupted: {made.interrupted}", err=True)
        context.exit(INTERRUPTED)


def _sweep(asked: Asked, swept: SweepRange | None, picture: Path | None) -> bool:
    """Plan every point of a sweep; return whether somebody ended it."""
    others = {
        "--out": asked.out,
        "--report": asked.report,
        "--explain": asked.explaining,
        "--confidence": asked.confidence,
        "--sensitivity": asked.sensitive,
    }
    return run_sweep(
        asked.pipeline,
        check_options(swept, picture, others),
        asked.planner,
        time_limit_s=asked.time_limit_s,
        survive=asked.survive,
        picture=picture,
        form=asked.form,
        describe=progress_words,
    )


def _print(made: Made) -> None:
    plan, pipeline = made.plan, made.problem.pipeline
    cost = confident_cost_line(plan, made.uncertainty) or cost_line(plan)
    print_tables(
        [
            *stage_tables(pipeline, plan.configuration, plan.predicted),
            f"{latency_line(plan.slo, plan.predicted)}\n{cost}",
            comparison_table(plan, made.compared, made.bare),
            *([] if made.explained is None else explanation_tables(plan, made.explained)),
            *uncertainty_parts(pipeline, plan, made.uncertainty),
        ]
    )
