"""``inferline plan --sweep``: cost against the SLO, the rate or the percentile."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from inferline.cli.outputs import write_text
from inferline.cli.progress import working
from inferline.cli.remarks import declared, say_remarks
from inferline.cli.sweep_range import SweepRange
from inferline.cli.tables import print_tables, share
from inferline.domain import Pipeline, Plan
from inferline.errors import Fault, InfeasibleError, InputError
from inferline.files import load, plan_document
from inferline.pictures import draw_sweep
from inferline.units import NANO, format_duration, format_usd
from planner import Infeasible, Step, pose
from planner.sweep import Quantity, SweepPoint, sweep

__all__ = ["check_options", "run_sweep", "sweep_document"]

_SUFFIXES = (".svg", ".png", ".pdf")
_HEADINGS = {"slo": "SLO", "rate": "rate", "percentile": "percentile"}


def check_options(swept: SweepRange | None, picture: Path | None, beside: Mapping[str, object]) -> SweepRange:
    """Return what is swept, after checking what stands beside it: before anybody waits.

    Parameters
    ----------
    swept
        The value of ``--sweep``.
    picture
        Where the sweep is to be drawn.
    beside
        Options that want one plan, with their values.

    Raises
    ------
    InputError
        When there is a picture but no sweep, one of those options is given, matplotlib is missing (names the extra),
        or the format of the picture is not one that can be written.
    """
    if swept is None:
        raise InputError(Fault("--picture", "", "draws a sweep: give --sweep, too"))
    faults = [
        Fault(option, "", "is for one plan, and --sweep makes several: leave one of them out")
        for option, value in beside.items()
        if value
    ]
    if picture is not None and picture.suffix.lower() not in _SUFFIXES:
        faults.append(Fault("--picture", "", f"{str(picture)!r} ends in none of {', '.join(_SUFFIXES)}"))
    if faults:
        raise InputError(*faults)
    if picture is not None:
        try:
            import matplotlib  # noqa: F401, PLC0415 - optional
        except ImportError as error:
            raise InputError(f"--picture needs {error.name}: pip install 'inferline[report]'") from error
    return swept


def run_sweep(
    path: Path,
    chosen: SweepRange,
    planner: str,
    *,
    time_limit_s: float,
    survive: int,
    picture: Path | None,
    form: str,
    describe: Callable[[Pipeline, Step], str],
) -> bool:
    """Plan at every value and print cost against it; return whether somebody ended it before its end.

    Parameters
    ----------
    path
        The pipeline file.
    chosen
        What to sweep.
    planner, time_limit_s, survive
        As for a single plan; the time limit holds for each point.
    picture
        Where to draw it.
    form
        ``table`` or ``json``.
    describe
        Puts a step of a search into words.

    Raises
    ------
    InfeasibleError
        When no point has a plan; they have been printed by then.
    """
    done: list[SweepPoint] = []
    values, ended = chosen.values, False
    with working(f"reading {path}") as tell:
        inputs = load(path)
        say_remarks(inputs, declared(inputs.pipeline))
        problem = pose(inputs.pipeline, inputs.profiles, inputs.trace)

        def observe(place: int, step: Step | None) -> None:
            at = f"{_HEADINGS[chosen.quantity.name]} {_value(chosen.quantity, values[place])}"
            what = "posing the problem" if step is None else describe(inputs.pipeline, step)
            tell(f"{at} ({place + 1} of {len(values)}): {what}")

        try:
            for point in sweep(
                problem,
                inputs.profiles,
                chosen.quantity,
                values,
                planner,
                time_limit_s=time_limit_s,
                survive=survive,
                observe=observe,
            ):
                done.append(point)
                ended |= point.interrupted
            ended |= len(done) < len(values)
        except KeyboardInterrupt:
            ended = True
        except ValueError as error:
            raise InputError(Fault("--sweep", chosen.quantity.name, str(error))) from error
    if form == "json":
        document = sweep_document(inputs.pipeline, chosen.quantity, done)
        click.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print_tables(_tables(inputs.pipeline, chosen.quantity, done))
    if picture is not None and done:
        _draw(picture, inputs.pipeline, chosen.quantity, done)
    if ended:
        click.echo(f"interrupted: {len(done)} of {len(values)} points were planned", err=True)
    elif all(isinstance(point.answer, Infeasible) for point in done):
        raise InfeasibleError(f"{inputs.pipeline.name}: no point of the sweep has a plan")
    return ended


def sweep_document(pipeline: Pipeline, quantity: Quantity, done: Sequence[SweepPoint]) -> dict[str, Any]:
    """Return the points of a sweep as plain mappings, lists and numbers; a value is in seconds, or a plain number."""
    return {
        "version": 1,
        "pipeline": pipeline.name,
        "sweep": quantity.name,
        "points": [{"value": float(point.value), **_answer(point.answer)} for point in done],
    }


def _answer(answer: Plan | Infeasible) -> dict[str, Any]:
    if isinstance(answer, Infeasible):
        return {
            "status": "infeasible",
            "stage": answer.stage,
            "best_latency_s": answer.best_latency_ns / NANO,
            "proved": answer.proved,
            "reason": answer.reason,
        }
    plan = plan_document(answer)
    kept = ("status", "cost_usd_per_hour", "lower_bound_usd_per_hour", "gap", "planner", "slo", "predicted", "stages")
    return {key: plan[key] for key in kept}


def _value(quantity: Quantity, value: Decimal) -> str:
    if quantity.name == "slo":
        return format_duration(int(value * NANO))
    return f"{value}x" if quantity.name == "rate" else f"P{value}"


def _tables(pipeline: Pipeline, quantity: Quantity, done: Sequence[SweepPoint]) -> list[Table | str]:
    table = Table(box=None, pad_edge=False, header_style="bold")
    at = "latency" if quantity.name == "percentile" else f"P{pipeline.slo.percentile}"
    for name in (_HEADINGS[quantity.name], "$/h", at, "late"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", overflow="fold", min_width=len("infeasible"))
    for stage in pipeline.stages:
        table.add_column(stage.name, overflow="fold")
    reasons = []
    for point in done:
        value, answer = _value(quantity, point.value), point.answer
        if isinstance(answer, Infeasible):
            table.add_row(value, "-", "-", "-", f"infeasible: {answer.stage} binds", *("-" for _ in pipeline.stages))
            best = format_duration(answer.best_latency_ns)
            certain = "no configuration meets the SLO" if answer.proved else "no configuration was found"
            reasons.append(f"{value}: {certain}; {answer.stage}: {answer.reason}; the best latency reached is {best}")
            continue
        table.add_row(
            value,
            format_usd(answer.cost_nano_usd_per_hour),
            format_duration(answer.predicted.at_slo_percentile_s * NANO),
            share(answer.predicted.miss_rate, 2),
            answer.status if answer.status == "optimal" else f"feasible, gap {share(answer.gap)}",
            *(f"{each.replicas} x {each.hardware}, batch {each.max_batch}" for each in answer.configuration.values()),
        )
    return [table, "\n".join(reasons)] if reasons else [table]


def _draw(path: Path, pipeline: Pipeline, quantity: Quantity, done: Sequence[SweepPoint]) -> None:
    plans = [None if isinstance(point.answer, Infeasible) else point.answer for point in done]
    picture = draw_sweep(
        quantity.name,
        [float(point.value) for point in done],
        [None if plan is None else plan.cost_nano_usd_per_hour / NANO for plan in plans],
        [None if plan is None else plan.lower_bound_nano_usd_per_hour / NANO for plan in plans],
        title=f"{pipeline.name}: cost against the {_HEADINGS[quantity.name]}",
    )
    if path.suffix.lower() == ".svg":
        write_text(path, picture.svg() + "\n")  # without a date: the same sweep gives the same bytes
        return
    try:
        picture.save(path)
    except OSError as error:
        raise InputError(Fault(str(path), "", f"cannot be written: {error.strerror}")) from error
