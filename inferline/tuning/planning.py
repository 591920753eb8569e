"""Planning for traffic that was observed, in a process of its own: `main`.

The folder that its command line names has ``request.json`` and ``arrivals.npy`` (int64, nanoseconds), and gets
``answer.json``. The process is the last that gets a processor, and ends when its standard input does: with whoever
has started it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any, TypedDict

import numpy as np

from inferline.domain import Configuration
from inferline.errors import InferlineError
from inferline.files import Inputs, complete_plan_of, load, plan_document
from inferline.tuning.shares import with_shares
from inferline.units import NANO
from planner import PLANNERS, Infeasible, Problem, make_plan, measure, pose
from planner.transitions.rehearsal import rehearse
from planner.transitions.timetable import Pace, activation_delays
from planner.transitions.transition_document import transition_document

__all__ = ["ANSWER", "ARRIVALS", "REQUEST", "Request", "answer_of", "main"]

REQUEST, ARRIVALS, ANSWER = "request.json", "arrivals.npy", "answer.json"

_NICE = 19
_SETTLE_NS = 15 * NANO
"""As `inferline diff` has it unless told otherwise."""


class Request(TypedDict):
    """What is to be planned.

    ``present`` is the plan in force, ``shares`` (parent, child, probability) of edges that were observed.
    """

    pipeline: str
    present: Mapping[str, Any]
    shares: list[tuple[str, str, float]]
    time_limit_s: float
    activation_s: float | None


def answer_of(request: Request, folder: Path) -> dict[str, Any]:
    """Return what planning comes to.

    Its keys: ``present`` with ``cost_usd_per_hour``, ``slo_attainment`` and ``slo_met`` of the plan in force on the
    traffic that was observed; and either ``infeasible``, a sentence, or ``plan`` and ``transition``, the documents of
    plan.json and of ``inferline diff``.

    Parameters
    ----------
    request, folder
        What is asked, and where the arrivals are; their text is written beside them.

    Raises
    ------
    InputError
        When a file of the pipeline is faulty, or the plan in force does not fit it.
    """
    inputs = load(request["pipeline"], trace=_trace(folder))
    shares = {(parent, child): share for parent, child, share in request["shares"]}
    pipeline = with_shares(inputs.pipeline, shares)
    problem = pose(pipeline, inputs.profiles, inputs.trace)
    present = complete_plan_of(request["present"], "the plan in force", pipeline, inputs.profiles)
    predicted = measure(problem, present.configuration)
    answer: dict[str, Any] = {
        "present": {
            "cost_usd_per_hour": present.configuration.cost_nano_usd_per_hour(pipeline) / NANO,
            "slo_attainment": predicted.slo_attainment,
            "slo_met": predicted.slo_met,
        }
    }
    planner = present.planner if present.planner in PLANNERS else "exact"
    found = make_plan(problem, planner, inputs.digests, time_limit_s=request["time_limit_s"], survive=present.survive)
    if isinstance(found, Infeasible):
        return {**answer, "infeasible": found.sentence(problem)}
    return {
        **answer,
        "plan": plan_document(found),
        "transition": _transition(
            problem, inputs, present.configuration, found.configuration, request["activation_s"]
        ),
    }


def _transition(
    problem: Problem, inputs: Inputs, before: Configuration, after: Configuration, activation_s: float | None
) -> dict[str, Any]:
    given_ns = None if activation_s is None else round(activation_s * NANO)
    delays = activation_delays(problem.pipeline, inputs.profiles, before, after, given_ns)
    pace = Pace(activation_ns={at: delay.delay_ns for at, delay in delays.items()}, settle_ns=_SETTLE_NS)
    return transition_document(problem, rehearse(problem, before, after, pace), pace, delays)


def _trace(folder: Path) -> Path:
    """Write the arrivals as a trace, and return where."""
    path = folder / "trace.csv"
    times = (f"{ns // NANO}.{ns % NANO:09d}" for ns in np.load(folder / ARRIVALS).tolist())
    path.write_text("\n".join(("arrival_s", *times, "")))
    return path


def main() -> None:
    """Answer the request in the folder that the command line names."""
    os.nice(_NICE)
    Thread(target=_end_with_standard_input, daemon=True).start()
    folder = Path(sys.argv[1])
    request: Request = json.loads((folder / REQUEST).read_text())
    try:
        answer = answer_of(request, folder)
    except InferlineError as error:
        answer = {"error": str(error)}
    partial = folder / f"{ANSWER}.part"
    partial.write_text(json.dumps(answer))
    partial.replace(folder / ANSWER)


def _end_with_standard_input() -> None:
    sys.stdin.buffer.read()
    os._exit(1)
