"""``inferline plan``."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.table import Table

from inferline.cli.explain import explanation_tables
from inferline.cli.explanation_document import with_explanation
from inferline.cli.failures import INTERRUPTED
from inferline.cli.outputs import FORMAT, Seconds, write_text
from inferline.cli.progress import Tell, working
from inferline.cli.report import check_clients, write_report
from inferline.cli.sweep import check_options, run_sweep
from inferline.cli.sweep_range import Range, SweepRange
from inferline.cli.tables import latency_line, print_tables, share, stage_tables
from inferline.cli.uncertainty import (
    CONFIDENCE,
    SENSITIVITY,
    check_alone,
    confident_cost_line,
    uncertainty_parts,
    weigh,
)
from inferline.cli.uncertainty_document import with_uncertainty
from inferline.domain import Pipeline, Plan
from inferline.errors import InfeasibleError
from inferline.files import load, write_plan
from inferline.units import format_duration, format_usd
from planner import (
    PLANNERS,
    TIME_LIMIT_S,
    Baseline,
    Infeasible,
    Problem,
    Step,
    baselines,
    make_plan,
    plan_of,
    pose,
    search,
)
from planner.explanation.explain import Explanation, explain
from planner.variations import Profiles

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
    pipeline: Path,
    planner: str,
    time_limit_s: float,
    survive: int,
    explaining: bool,
    swept: SweepRange | None,
    picture: Path | None,
    confidence: float | None,
    sensitive: bool,
    out: Path | None,
    report: Path | None,
    form: str,
) -> None:
    """Find the cheapest configuration that meets the SLO.

    PIPELINE is a pipeline.yaml: stages, hardware, profiles, traffic and the SLO.

    \b
    Example:
      inferline plan examples/social-media/pipeline.yaml --out plan.json
      inferline plan examples/social-media/pipeline.yaml --sweep slo=1s..3s
    """
    check_alone(confidence, {"--survive": survive, "--explain": explaining})
    if swept is not None or picture is not None:
        uncertain = {"--confidence": confidence, "--sensitivity": sensitive}
        sweep_alone = check_options(
            swept, picture, {"--out": out, "--report": report, "--explain": explaining, **uncertain}
        )
        ended = run_sweep(
            pipeline,
            sweep_alone,
            planner,
            time_limit_s=time_limit_s,
            survive=survive,
            picture=picture,
            form=form,
            describe=_progress,
        )
        context.exit(INTERRUPTED if ended else 0)
    if report is not None:
        check_clients()
    with working(f"reading {pipeline}") as tell:
        inputs = load(pipeline)
        tell("drawing routes")
        problem = pose(inputs.pipeline, inputs.profiles, inputs.trace)

        tell(f"{planner}: simulating {len(inputs.trace):,} queries")
        found = search(
            problem,
            planner,
            time_limit_s=time_limit_s,
            survive=survive,
            observe=lambda step: tell(f"{planner}: {_progress(inputs.pipeline, step)}"),
        )
        if isinstance(found, Infeasible):
            if found.interrupted:
                raise KeyboardInterrupt
            raise _infeasible(problem, found, form)
        answer = plan_of(problem, found, planner, inputs.digests, survive)
        weighed = weigh(
            problem,
            inputs.profiles,
            answer,
            confidence if not found.interrupted else None,
            sensitive=sensitive and not found.interrupted,
            time_limit_s=time_limit_s,
            tell=tell,
            observe=lambda step: tell(f"confidence: {_progress(inputs.pipeline, step)}"),
        )
        if isinstance(weighed, Infeasible):
            raise _infeasible(problem, weighed, form)
        answer, uncertainty = weighed
        bare = None
        if survive and form == "table":
            tell(f"{planner}: the same without --survive, to price it")
            bare = make_plan(problem, planner, inputs.digests, time_limit_s=time_limit_s)
        tell("simulating the coarse-grained baselines")
        compared = baselines(problem) if form == "table" or report is not None else ()
        document = with_uncertainty(write_plan(answer), inputs.pipeline, uncertainty)
        explained = None
        if explaining and not found.interrupted:
            explained = _explained(problem, inputs.profiles, answer, tell)
            document = document if explained is None else with_explanation(document, answer, explained)
        _save(out, document, report, problem, answer, compared)
    if form == "json":
        click.echo(document, nl=False)
    else:
        print_tables(
            [
                *stage_tables(inputs.pipeline, answer.configuration, answer.predicted),
                f"{latency_line(answer.slo, answer.predicted)}\n"
                f"{confident_cost_line(answer, uncertainty) or _cost_line(answer)}",
                _comparison(answer, compared, None if isinstance(bare, Infeasible) else bare),
                *([] if explained is None else explanation_tables(answer, explained)),
                *uncertainty_parts(inputs.pipeline, answer, uncertainty),
            ]
        )
    if found.interrupted or (explaining and explained is None):
        what = "this is the best plan so far" if found.interrupted else "this is the plan, without its explanation"
        click.echo(f"interrupted: {what}", err=True)
        context.exit(INTERRUPTED)


def _save(
    out: Path | None, document: str, report: Path | None, problem: Problem, plan: Plan, compared: tuple[Baseline, ...]
) -> None:
    """Write the files that were asked for."""
    if out is not None:
        write_text(out, document)
    if report is not None:
        write_report(report, problem, plan, compared)


def _explained(problem: Problem, profiles: Profiles, plan: Plan, tell: Tell) -> Explanation | None:
    """Explain a plan; None when somebody did not want to wait for that."""
    try:
        return explain(problem, profiles, plan, tell=tell)
    except KeyboardInterrupt:
        return None


def _infeasible(problem: Problem, answer: Infeasible, form: str) -> InfeasibleError:
    if form == "json":
        click.echo(json.dumps(_refusal(problem.pipeline, answer), indent=2))
    return InfeasibleError(answer.sentence(problem))


def _progress(pipeline: Pipeline, step: Step) -> str:
    words = [step.action]
    if step.configuration is not None:
        words.append(f"best {format_usd(step.configuration.cost_nano_usd_per_hour(pipeline))}/h")
    if step.bound_nano_usd_per_hour is not None:
        words.append(f"bound {format_usd(step.bound_nano_usd_per_hour)}/h")
        if step.configuration is not None:
            cost = step.configuration.cost_nano_usd_per_hour(pipeline)
            words.append(f"gap {share(1 - step.bound_nano_usd_per_hour / cost if cost else 0.0)}")
    return ", ".join(words)


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


def _comparison(plan: Plan, compared: tuple[Baseline, ...], bare: Plan | None) -> Table:
    """Return the plan beside coarse-grained provisioning, and beside itself without spare replicas."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "$/h", "vs this plan", "late", f"P{plan.slo.percentile}"):
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
    if bare is not None:
        row(
            f"without --survive {plan.survive}",
            bare.cost_nano_usd_per_hour,
            bare.predicted.miss_rate,
            bare.predicted.at_slo_percentile_s,
        )
    for each in compared:
        row(each.name, each.cost_nano_usd_per_hour, each.predicted.miss_rate, each.predicted.at_slo_percentile_s)
    return table
