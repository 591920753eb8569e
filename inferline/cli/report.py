"""``inferline plan --report``: one self-contained HTML file, to be read, kept and passed on."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from inferline.cli.outputs import write_text
from inferline.cli.pipeline_drawing import BOX_HEIGHT, BOX_WIDTH, lay_out
from inferline.cli.tables import share
from inferline.domain import Pipeline, Plan, Prediction, StagePrediction
from inferline.errors import InputError
from inferline.pictures import Picture, draw_budget, draw_latency, draw_traffic
from inferline.units import NANO, format_duration, format_usd
from planner import Baseline, Problem, latency_ns

__all__ = ["check_clients", "write_report"]

_WORDS = {"cg-mean": ("CG-Mean", "the mean rate"), "cg-peak": ("CG-Peak", "the peak rate in windows of the SLO")}
_LONGEST_NAME = 20


def check_clients() -> None:
    """Check that reports can be made, before anybody waits for a plan.

    Raises
    ------
    InputError
        When Jinja or matplotlib is missing; names the extra.
    """
    try:
        import jinja2  # noqa: F401, PLC0415 - optional
        import matplotlib  # noqa: F401, PLC0415
    except ImportError as error:
        raise InputError(f"--report needs {error.name}: pip install 'inferline[report]'") from error


def write_report(path: Path, problem: Problem, plan: Plan, compared: Sequence[Baseline]) -> None:
    """Write the report of a plan; the same plan gives the same bytes.

    Parameters
    ----------
    path
        The HTML file.
    problem
        What was planned.
    plan
        What was found.
    compared
        Coarse-grained provisioning of the same problem.

    Raises
    ------
    InputError
        When the file cannot be written, or Jinja or matplotlib is missing.
    """
    check_clients()
    import jinja2  # noqa: PLC0415 - optional

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(
        resources.files("inferline.cli").joinpath("report.html.jinja").read_text(encoding="utf-8")
    )
    write_text(path, template.render(_facts(problem, plan, compared), short=_short) + "\n")


def _facts(problem: Problem, plan: Plan, compared: Sequence[Baseline]) -> dict[str, Any]:
    """Return everything that the template shows, as texts, tables of texts, and pictures."""
    pipeline, trace, seen = problem.pipeline, problem.trace, plan.predicted
    latency_s = latency_ns(problem, plan.configuration) / NANO
    spent = sum(stage.budget_wait + stage.budget_service for stage in seen.stages.values())
    return {
        "plan": plan,
        "seen": seen,
        "cost": format_usd(plan.cost_nano_usd_per_hour),
        "bound": format_usd(plan.lower_bound_nano_usd_per_hour),
        "gap": share(plan.gap),
        "slo": format_duration(plan.slo.latency_ns),
        "percentile": f"P{plan.slo.percentile}",
        "at_slo": format_duration(seen.at_slo_percentile_s * NANO),
        "percentiles": _percentiles(seen),
        "late": share(seen.miss_rate, 2),
        "allowed": f"{100 - plan.slo.percentile}%",
        "queries": f"{seen.queries:,}",
        "length": _length(trace.duration_ns),
        "mean_rate": f"{trace.mean_qps:,.0f}",
        "busiest_second": f"{trace.peak_qps():,}",
        "spent": share(spent, 0),
        "overspent": spent > 1,
        "stages": [_stage_row(pipeline, plan, name, seen.stages[name]) for name in seen.stages],
        "compared": [_baseline_row(plan, each) for each in compared],
        "drawing": lay_out(pipeline),
        "box": {"width": BOX_WIDTH, "height": BOX_HEIGHT},
        "edges": {(edge.parent, stage.name): edge for stage in pipeline.stages for edge in stage.parents},
        "latency": _inline(draw_latency(latency_s, plan.slo)),
        "budget": _inline(draw_budget(seen, plan.slo)),
        "traffic": _inline(draw_traffic(trace, plan.envelope)),
        "share": share,
    }


def _percentiles(seen: Prediction) -> str:
    named = (("P50", seen.p50_s), ("P95", seen.p95_s), ("P99", seen.p99_s))
    return ", ".join(f"{name} {format_duration(seconds * NANO)}" for name, seconds in named)


def _stage_row(pipeline: Pipeline, plan: Plan, name: str, seen: StagePrediction) -> dict[str, Any]:
    chosen = plan.configuration[name]
    return {
        "name": name,
        "model": plan.models[name],
        "hardware": chosen.hardware,
        "replicas": chosen.replicas,
        "max_batch": chosen.max_batch,
        "cost": format_usd(pipeline.unit(chosen.hardware).price_nano_usd_per_hour * chosen.replicas),
        "utilisation": seen.utilisation,
        "visits": share(seen.visits / plan.predicted.queries, 0),
        "mean_batch": f"{seen.mean_batch:.1f}",
        "wait": f"{format_duration(seen.wait_mean_s * NANO)} / {format_duration(seen.wait_p99_s * NANO)}",
        "service": f"{format_duration(seen.service_mean_s * NANO)} / {format_duration(seen.service_p99_s * NANO)}",
        "budget": f"{share(seen.budget_wait, 0)} + {share(seen.budget_service, 0)}",
    }


def _baseline_row(plan: Plan, each: Baseline) -> dict[str, Any]:
    own = plan.cost_nano_usd_per_hour
    name, provisioned_for = _WORDS[each.name]
    return {
        "name": name,
        "provisioned_for": provisioned_for,
        "cost": format_usd(each.cost_nano_usd_per_hour),
        "ratio": f"{each.cost_nano_usd_per_hour / own:.2f}x" if own else "-",
        "late": share(each.predicted.miss_rate, 2),
        "at_slo": format_duration(each.predicted.at_slo_percentile_s * NANO),
        "slo_met": each.predicted.slo_met,
    }


def _inline(picture: Picture) -> Any:  # noqa: ANN401 - Markup of an optional client
    """Return a picture as HTML that is not escaped again: matplotlib has escaped the texts in it."""
    import markupsafe  # noqa: PLC0415 - comes with Jinja, which is optional

    return markupsafe.Markup(picture.svg())


def _length(nanoseconds: int) -> str:
    """Write how long a trace is, for people.

    Examples
    --------
    >>> _length(1_008_000_000_000), _length(7_260_000_000_000), _length(2_500_000_000)
    ('16 min 48 s', '2 h 1 min', '2.5 s')
    """
    seconds = round(nanoseconds / NANO)
    if seconds < 60:
        return format_duration(nanoseconds)
    (large, unit), (small, below) = (
        ((seconds // 3600, "h"), (seconds % 3600 // 60, "min"))
        if seconds >= 3600
        else ((seconds // 60, "min"), (seconds % 60, "s"))
    )
    return f"{large} {unit} {small} {below}" if small else f"{large} {unit}"


def _short(name: str) -> str:
    """Return a name that fits into its box."""
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "\u2026"
