"""Planning anew in the background, and what came of it in words."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock
from typing import Any

import numpy as np

from inferline.domain import Pipeline
from inferline.errors import OutsideError
from inferline.files import plan_document
from inferline.tuning.planning import ANSWER, ARRIVALS, REQUEST, Request
from inferline.tuning.shares import observed_shares
from inferline.units import NANO, format_duration
from tuner.observed import Sample
from tuner.plans import Moved, Proposal
from tuner.situation import Situation

__all__ = ["PROGRAM", "BackgroundReplanner", "proposal_of"]

PROGRAM = (sys.executable, "-P", "-c", "from inferline.tuning.planning import main; main()")
"""The process that plans; no module of the folder in which the daemon was started comes before ours."""

_ENV = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_SAID = 400
"""Characters of what a process that has failed says that are told."""


class BackgroundReplanner:
    """`tuner.plans.Replanner`: plans in a process of low priority, one at a time, and moves if told how.

    Parameters
    ----------
    pipeline
        pipeline.yaml; read anew each time.
    out
        Where the plan is written that comes of it.
    next_step
        What somebody is to do with that file, in words; None when it is moved over to anyway.
    move
        Moves over to the plan in that file; None where nothing is moved.
    planner_s, limit_s
        When the planner stops with the best so far, and when its process is ended.
    activation_s
        From the request for a replica to its first answer; None for what the profiles say.
    """

    def __init__(
        self,
        pipeline: Path,
        out: Path,
        next_step: str,
        *,
        move: Callable[[Path, Callable[[str], None], Event], Moved] | None = None,
        planner_s: float = 30.0,
        limit_s: float = 300.0,
        activation_s: float | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._out = out
        self._next_step = next_step
        self._move = move
        self._planner_s, self._limit_s = planner_s, limit_s
        self._activation_s = activation_s
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = False
        self._lock = Lock()

    def plan(self, situation: Situation, sample: Sample) -> Proposal:
        """Plan for what was observed, and write the plan; see `tuner.plans.Replanner`.

        Raises
        ------
        OutsideError
            When there is no answer: the process was ended, its time was over, or a file is faulty.
        """
        folder = Path(tempfile.mkdtemp(prefix="inferline-replan-"))
        try:
            np.save(folder / ARRIVALS, sample.arrival_ns)
            shares = observed_shares(situation.pipeline, sample.visits)
            request: Request = {
                "pipeline": os.path.abspath(self._pipeline),
                "present": plan_document(situation.plan),
                "shares": [(parent, child, share) for (parent, child), share in shares.items()],
                "time_limit_s": self._planner_s,
                "activation_s": self._activation_s,
            }
            (folder / REQUEST).write_text(json.dumps(request))
            self._run(folder)
            answer = json.loads((folder / ANSWER).read_text())
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if "error" in answer:
            raise OutsideError(f"planning anew has failed: {answer['error']}")
        written = "plan" in answer
        if written:
            self._write(answer["plan"])
        return proposal_of(situation.pipeline, answer, self._next_step)

    def move(self, proposal: Proposal, tell: Callable[[str], None], halt: Event) -> Moved:  # noqa: ARG002 - the last
        """Move over to the plan that was written; see `tuner.plans.Replanner`."""
        if self._move is None:
            return Moved(failure="this daemon moves nothing")
        return self._move(self._out, tell, halt)

    def cancel(self) -> None:
        """End the process that plans, if there is one."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()

    def _run(self, folder: Path) -> None:
        command = [*PROGRAM, str(folder)]
        with (folder / "said").open("wb") as said:
            with self._lock:
                self._ended = False
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=said, stderr=said, env={**os.environ, **_ENV}
                )
                process = self._process
            try:
                process.wait(self._limit_s)
            except subprocess.TimeoutExpired as error:
                limit = format_duration(round(self._limit_s * NANO))
                raise OutsideError(f"planning anew has not ended after {limit}; it was ended") from error
            finally:
                with self._lock:
                    self._process = None
                process.kill()
                process.wait()
                if process.stdin is not None:
                    with suppress(OSError):
                        process.stdin.close()
        if self._ended:
            raise OutsideError("planning anew was ended")
        if not (folder / ANSWER).exists():
            last = (folder / "said").read_text(errors="replace").strip()[-_SAID:]
            raise OutsideError(f"planning anew has failed with code {process.returncode}: {last or 'no word'}")

    def _write(self, plan: Mapping[str, Any]) -> None:
        partial = self._out.with_name(f"{self._out.name}.part")
        try:
            partial.write_text(json.dumps(plan, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
            partial.replace(self._out)
        except OSError as error:
            raise OutsideError(f"{self._out}: the new plan cannot be written: {error.strerror}") from error


def proposal_of(pipeline: Pipeline, answer: Mapping[str, Any], next_step: str) -> Proposal:
    """Return what a daemon says of an answer, and whether it is worth moving.

    Parameters
    ----------
    pipeline
        The limits of its hardware say who else is concerned.
    answer
        As `inferline.tuning.planning.answer_of` gives it.
    next_step
        What to do with a plan that is better.
    """
    present = answer["present"]
    figures = {
        "present_usd_per_hour": present["cost_usd_per_hour"],
        "present_slo_attainment": present["slo_attainment"],
    }
    if "infeasible" in answer:
        meets = "meets" if present["slo_met"] else "misses"
        message = f"{answer['infeasible']}; the plan in force {meets} it"
        return Proposal(message=message, figures=figures)
    plan, transition = answer["plan"], answer["transition"]
    saving = round(present["cost_usd_per_hour"] - plan["cost_usd_per_hour"], 9)
    figures |= {
        "new_usd_per_hour": plan["cost_usd_per_hour"],
        "new_slo_attainment": plan["predicted"]["slo_attainment"],
        "saving_usd_per_hour": saving,
    }
    old, new = transition["old"]["stages"], transition["new"]["stages"]
    changes = {name: _change(old[name], new[name]) for name in new if old[name] != new[name]}
    worth = not present["slo_met"] or saving >= 0
    return Proposal(
        message=_message(present, saving, transition, bool(changes), worth, next_step),
        changes=changes,
        figures=figures,
        worth=worth,
        stages=_concerned(pipeline, old, new),
    )


def _message(
    present: Mapping[str, Any], saving: float, transition: Mapping[str, Any], changes: bool, worth: bool, then: str
) -> str:
    if not worth:
        return f"the plan in force meets the SLO and costs ${-saving:g}/h less; it stays"
    if not changes:
        kept = "what runs is what the new plan has; only the traffic that it is for is another"
        return f"{kept}; next: {then}"
    if present["slo_met"]:
        verdict = f"the new plan saves ${saving:g}/h"
    else:
        costs = f"costs ${-saving:g}/h more" if saving < 0 else f"saves ${saving:g}/h"
        verdict = f"the plan in force misses the SLO for this traffic, the new one meets it and {costs}"
    steps = ", then ".join(map(_step, transition["steps"]))
    holds = "holds" if transition["slo_met"] else "is missed"
    return f"{verdict}; steps: {steps}; in a simulation the SLO {holds} on the way; next: {then}"


def _change(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    words = (f"{of['replicas']} on {of['hardware']} with batches of {of['max_batch']}" for of in (old, new))
    return " -> ".join(words)


def _step(step: Mapping[str, Any]) -> str:
    if step["kind"] == "switch":
        return f"switch {step['stage']} from {step['hardware']['from']} to {step['hardware']['to']}"
    if step["kind"] == "batch":
        return f"batches of {step['max_batch']['to']} at {step['stage']}"
    counts = step["replicas"]
    return f"{step['kind']} {step['stage']} on {step['hardware']['to']} ({counts['from']} to {counts['to']})"


def _concerned(pipeline: Pipeline, old: Mapping[str, Any], new: Mapping[str, Any]) -> frozenset[str]:
    """Return stages whose hardware or batches change, and those that share limited hardware with them."""
    moved = {
        name
        for name in new
        if (old[name]["hardware"], old[name]["max_batch"]) != (new[name]["hardware"], new[name]["max_batch"])
    }
    used = {each[name]["hardware"] for name in moved for each in (old, new)}
    scarce = {unit.name for unit in pipeline.hardware if unit.limit is not None and unit.name in used}
    return frozenset(moved | {name for name in new if new[name]["hardware"] in scarce})
