"""What ``inferline plan`` says: the cost and its proof, the baselines beside it, and the progress on the way."""

from __future__ import annotations

from rich.table import Table

from inferline.cli.tables import share
from inferline.domain import Pipeline, Plan
from inferline.units import format_duration, format_usd
from planner import Baseline, Infeasible, Step

__all__ = ["comparison_table", "cost_line", "progress_words", "refusal_document"]


def progress_words(pipeline: Pipeline, step: Step) -> str:
    """Return where a search is: what it did last, its best cost, the bound and the gap."""
    words = [step.action]
    if step.configuration is not None:
        words.append(f"best {format_usd(step.configuration.cost_nano_usd_per_hour(pipeline))}/h")
    if step.bound_nano_usd_per_hour is not None:
        words.append(f"bound {format_usd(step.bound_nano_usd_per_hour)}/h")
        if step.configuration is not None:
            cost = step.configuration.cost_nano_usd_per_hour(pipeline)
            words.append(f"gap {share(1 - step.bound_nano_usd_per_hour / cost if cost else 0.0)}")
    return ", ".join(words)


def refusal_document(pipeline: Pipeline, answer: Infeasible) -> dict[str, object]:
    """Return the JSON document of an infeasible pipeline."""
    return {
        "version": 1,
        "pipeline": pipeline.name,
        "status": "infeasible",
        "stage": answer.stage,
        "best_latency_s": answer.best_latency_ns / 1e9,
        "proved": answer.proved,
    }


def cost_line(plan: Plan) -> str:
    """Return the cost, and how far it is from proved."""
    cost = format_usd(plan.cost_nano_usd_per_hour)
    if plan.status == "optimal":
        return f"cost     {cost}/h, proved optimal"
    bound = format_usd(plan.lower_bound_nano_usd_per_hour)
    return f"cost     {cost}/h (no plan can cost less than {bound}/h: gap {share(plan.gap)})"


def comparison_table(plan: Plan, compared: tuple[Baseline, ...], bare: Plan | None) -> Table:
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
