"""What ``inferline plan`` does: plan, weigh, explain and write, in the order that users wait for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from inferline.cli.explanation_document import with_explanation
from inferline.cli.outputs import write_text
from inferline.cli.plan_tables import progress_words, refusal_document
from inferline.cli.progress import Tell
from inferline.cli.remarks import declared, say_remarks
from inferline.cli.report import write_report
from inferline.cli.uncertainty import weigh
from inferline.cli.uncertainty_document import Uncertainty, with_uncertainty
from inferline.domain import Plan
from inferline.errors import InfeasibleError
from inferline.files import Inputs, load, write_plan
from planner import Baseline, Infeasible, Problem, Step, baselines, make_plan, plan_of, pose, search
from planner.explanation.explain import Explanation, explain

__all__ = ["Asked", "Made", "make"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The arguments of ``inferline plan``, as the options name them."""

    pipeline: Path
    planner: str
    time_limit_s: float
    survive: int
    explaining: bool
    confidence: float | None
    sensitive: bool
    out: Path | None
    report: Path | None
    form: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What came of it.

    Parameters
    ----------
    problem, plan, document
        The plan, and its text.
    uncertainty, explained
        What was asked for beside it; None and empty where it was not, or where somebody did not want to wait.
    bare
        The plan without spare replicas, to price them.
    compared
        The coarse-grained baselines.
    interrupted
        What was left out because somebody ended it; empty when nothing was.
    """

    problem: Problem
    plan: Plan
    document: str
    uncertainty: Uncertainty
    explained: Explanation | None
    bare: Plan | None
    compared: tuple[Baseline, ...]
    interrupted: str


def make(asked: Asked, tell: Tell) -> Made:
    """Plan as asked, and write the files that were asked for.

    Raises
    ------
    InputError
        When a file cannot be read, is wrong, or cannot be written.
    InfeasibleError
        When there is no plan; with ``--format json`` its document has been printed.
    """
    inputs = load(asked.pipeline)
    say_remarks(inputs, declared(inputs.pipeline))
    tell("drawing routes")
    problem = pose(inputs.pipeline, inputs.profiles, inputs.trace)
    tell(f"{asked.planner}: simulating {len(inputs.trace):,} queries")
    found = search(
        problem,
        asked.planner,
        time_limit_s=asked.time_limit_s,
        survive=asked.survive,
        observe=partial(_observe, problem, asked.planner, tell),
    )
    if isinstance(found, Infeasible):
        raise _refused(problem, found, asked.form)
    plain = plan_of(problem, found, asked.planner, inputs.digests, asked.survive)
    plan, uncertainty = _weighed(asked, inputs, problem, plain, tell, ended=found.interrupted)
    tell("simulating the coarse-grained baselines")
    compared = baselines(problem) if asked.form == "table" or asked.report is not None else ()
    explained = None
    if asked.explaining and not found.interrupted:
        explained = _explained(problem, inputs, plan, tell)
    document = with_uncertainty(write_plan(plan), inputs.pipeline, uncertainty)
    if explained is not None:
        document = with_explanation(document, plan, explained)
    if asked.out is not None:
        write_text(asked.out, document)
    if asked.report is not None:
        tell(f"writing {asked.report}")
        write_report(asked.report, problem, plan, compared)
    interrupted = ""
    if found.interrupted:
        interrupted = "this is the best plan so far"
    elif asked.explaining and explained is None:
        interrupted = "this is the plan, without its explanation"
    return Made(
        problem=problem,
        plan=plan,
        document=document,
        uncertainty=uncertainty,
        explained=explained,
        bare=None if interrupted or asked.form == "json" else _bare(asked, inputs, problem, tell),
        compared=compared,
        interrupted=interrupted,
    )


def _observe(problem: Problem, name: str, tell: Tell, step: Step) -> None:
    tell(f"{name}: {progress_words(problem.pipeline, step)}")


def _weighed(
    asked: Asked, inputs: Inputs, problem: Problem, plan: Plan, tell: Tell, *, ended: bool
) -> tuple[Plan, Uncertainty]:
    """Plan with confidence and see what the plan can bear, as far as asked and not ended by somebody."""
    weighed = weigh(
        problem,
        inputs.profiles,
        plan,
        None if ended else asked.confidence,
        sensitive=asked.sensitive and not ended,
        time_limit_s=asked.time_limit_s,
        tell=tell,
        observe=partial(_observe, problem, "confidence", tell),
    )
    if isinstance(weighed, Infeasible):
        raise _refused(problem, weighed, asked.form)
    return weighed


def _bare(asked: Asked, inputs: Inputs, problem: Problem, tell: Tell) -> Plan | None:
    """Return the plan without spare replicas, or None when there are none."""
    if asked.survive == 0:
        return None
    tell(f"{asked.planner}: the same without --survive, to price it")
    bare = make_plan(problem, asked.planner, inputs.digests, time_limit_s=asked.time_limit_s)
    return None if isinstance(bare, Infeasible) else bare


def _explained(problem: Problem, inputs: Inputs, plan: Plan, tell: Tell) -> Explanation | None:
    """Explain a plan; None when somebody did not want to wait for that."""
    try:
        return explain(problem, inputs.profiles, plan, tell=tell)
    except KeyboardInterrupt:
        return None


def _refused(problem: Problem, answer: Infeasible, form: str) -> InfeasibleError:
    """Return the error for an answer without a plan; an answer that somebody cut short is an interrupt."""
    if answer.interrupted:
        raise KeyboardInterrupt
    if form == "json":
        click.echo(json.dumps(refusal_document(problem.pipeline, answer), indent=2))
    return InfeasibleError(answer.sentence(problem))
