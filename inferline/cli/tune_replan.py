"""What the daemon does when its plan changes, and when traffic has left it: which options, and what they come to."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from inferline.cli.changing import changing
from inferline.cli.deploy_board import step_words
from inferline.cli.outputs import Seconds
from inferline.cli.server_options import reached
from inferline.cli.tune_parts import (
    Asked,
    deployed_versions,
    open_admin,
    reads_core,
    rules_of,
    situation_of,
)
from inferline.errors import Fault, InputError, OutsideError
from inferline.files import Inputs, load, pipeline_of
from inferline.tuning import BackgroundReplanner, DeployedPlans, FilePlans, Mover, TargetReplicas
from inferline.tuning.plans import registered
from inferline.units import NANO
from serving_adapter.client.documents import PipelineDocument
from serving_adapter.deployment import Files, read_files, wanted_of
from serving_adapter.replicas import CoreAddress, Target
from tuner.drift import DriftRules
from tuner.plans import InForce, Plans
from tuner.policies import POLICIES
from tuner.replanning import Replanning
from tuner.situation import Situation

__all__ = ["Forces", "begin", "check_replan", "replan_options", "replanning_of"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_BELOW_TIMES = 6
"""Less traffic must last so many times as long as more of it: it costs money, no queries."""


def replan_options(command: _Command) -> _Command:
    """Give a command the options of planning anew."""
    for option in (
        click.option(
            "--replan-out",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Where a new plan is written.  [default: PLAN with .replanned before its suffix]",
        ),
        click.option(
            "--replan-every",
            "replan_every_s",
            type=Seconds(),
            default="30min",
            show_default=True,
            metavar="30min",
            help="From one attempt to plan anew to the next, at least.",
        ),
        click.option(
            "--replan-after",
            "replan_after_s",
            type=Seconds(),
            default="5min",
            show_default=True,
            metavar="5min",
            help="How long more traffic or other branches must last; less traffic, six times as long.",
        ),
        click.option(
            "--replan",
            type=click.Choice(["off", "log", "apply"]),
            default="log",
            show_default=True,
            help="When traffic has left the plan for good: nothing, plan anew and say so, or move over as well.",
        ),
    ):
        command = option(command)
    return command


def check_replan(asked: Asked) -> None:
    """Check the options of planning anew.

    Raises
    ------
    InputError
        When one does not go with another.
    """
    if asked.replan == "apply" and not reads_core(asked):
        message = "apply needs the serving core itself: --arrivals core://HOST:ADMIN_PORT, or none"
        raise InputError(Fault("--replan", "", message))


@dataclass(slots=True)
class Forces:
    """Makes what is in force of plans, for one daemon.

    Parameters
    ----------
    asked
        The options.
    target, core
        Where replicas are asked for, and the core as they reach it.
    inputs, files
        What was read last of the pipeline.
    """

    asked: Asked
    target: Target
    core: CoreAddress
    inputs: Inputs
    files: Files

    def of_file(self) -> InForce:
        """Return what is in force when what is deployed is what the plan's file says now.

        Raises
        ------
        InputError
            With every fault of the files.
        OutsideError
            When the plan is not deployed at the target, or the target cannot be asked.
        """
        files = read_files(self.asked.pipeline, self.asked.plan)
        versions = deployed_versions(self.asked, files, self.target)
        inputs = self.inputs if files.document == self.files.document else load(self.asked.pipeline)
        return self.made(inputs, files, situation_of(self.asked, inputs, files.plan, str(self.asked.plan)), versions)

    def of_record(self, record: PipelineDocument) -> InForce:
        """Return what is in force by what a core has registered: replicas are run as it says.

        Raises
        ------
        InputError
            When the plan has no evidence, or is for other stages than this daemon scales or the pipeline file has.
        """
        document = record["pipeline"]
        inputs = self.inputs if document == self.files.document else load(self.asked.pipeline)
        situation = situation_of(self.asked, inputs, record["plan"], "the plan that is deployed")
        if set(self.files.stages) != set(situation.plan.configuration):
            raise InputError(Fault("the plan that is deployed", "stages", "are others; start the daemon anew"))
        files = Files(
            path=self.asked.pipeline,
            pipeline=pipeline_of(document, "the pipeline that is deployed").pipeline,
            document=document,
            configuration=situation.plan.configuration,
            plan=record["plan"],
        )
        return self.made(inputs, files, situation, record["versions"])

    def made(self, inputs: Inputs, files: Files, situation: Situation, versions: Mapping[str, str]) -> InForce:
        """Return what is in force, and keep what it was made of."""
        sets = {each.stage: each for each in wanted_of(files, versions).sets.values()}
        rules = rules_of(self.asked, situation, POLICIES[self.asked.policy].period_ns)
        self.inputs, self.files = inputs, files
        return InForce(situation=situation, rules=rules, replicas=TargetReplicas(self.target, self.core, sets))


def begin(asked: Asked, forces: Forces, situation: Situation) -> tuple[InForce, DeployedPlans | FilePlans, bool]:
    """Return what is in force at the start, what says when that changes, and whether it is what PLAN says.

    What the core has registered counts, also when the plan's file says something else: another plan may have been
    deployed since it was written, by a daemon too.

    Parameters
    ----------
    asked, forces, situation
        The options, what makes something of a plan, and the situation by the plan's file.

    Raises
    ------
    InputError
        When what is deployed is nothing that this daemon can scale.
    OutsideError
        When the core's name means nothing here, the target cannot be asked, or the plan is not deployed there.
    """
    files = forces.files
    record = _record(asked, forces.core, files.pipeline.name)
    if record is not None and record["plan"] != files.plan:
        force, known, same = forces.of_record(record), registered(record), False
    else:
        versions = deployed_versions(asked, files, forces.target)
        force, known, same = forces.made(forces.inputs, files, situation, versions), (files.plan, versions), True
    if not reads_core(asked):
        return force, FilePlans(asked.plan, forces.of_file), same
    admin = open_admin(asked, forces.core)
    return force, DeployedPlans(admin, files.pipeline.name, known, forces.of_record), same


def replanning_of(asked: Asked, situation: Situation, forces: Forces, plans: Plans) -> Replanning | None:
    """Return what is done about drift; None for nothing."""
    if asked.replan == "off":
        return None
    after_ns = round(asked.replan_after_s * NANO)
    rules = DriftRules(
        sustained_ns=after_ns,
        below_ns=_BELOW_TIMES * after_ns,
        cool_down_ns=round(asked.replan_every_s * NANO),
    )
    out = asked.replan_out or asked.plan.with_name(f"{asked.plan.stem}.replanned{asked.plan.suffix}")
    where = "" if asked.target is None else f" --target {asked.target}"
    command = f"inferline deploy {shlex.quote(str(out))} --pipeline {shlex.quote(str(asked.pipeline))}{where}"
    applies = asked.replan == "apply" and isinstance(plans, DeployedPlans)
    replanner = BackgroundReplanner(
        asked.pipeline,
        out,
        "it is moved over to" if applies and not asked.dry_run else command,
        move=_mover(asked, forces, plans, command).move if isinstance(plans, DeployedPlans) and applies else None,
        activation_s=asked.activation_s,
    )
    return Replanning(replanner, situation, rules, applies=applies, dry_run=asked.dry_run)


def _mover(asked: Asked, forces: Forces, plans: DeployedPlans, command: str) -> Mover:
    name = forces.files.pipeline.name
    return Mover(
        pipeline=asked.pipeline,
        target=forces.target,
        core=forces.core,
        query_url=reached(forces.core, option="--server").query_url,
        admin=partial(open_admin, asked, forces.core),
        present=lambda: plans.plan,
        changing=partial(changing, asked, name, "inferline tune daemon --replan apply"),
        words=step_words,
        next_step=command,
    )


def _record(asked: Asked, core: CoreAddress, name: str) -> PipelineDocument | None:
    """Return what the core has registered; None when it cannot be asked, or has nothing."""
    if not reads_core(asked):
        return None
    try:
        with open_admin(asked, core) as admin:
            return admin.get_pipeline(name)
    except OutsideError:
        return None
