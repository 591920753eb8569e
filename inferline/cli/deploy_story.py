"""How a deployment stands that has ended in the middle, and how to go on or back."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from inferline.cli.deploy_board import Board, set_words, step_words
from inferline.cli.targets import Place, target_words
from inferline.errors import InferlineError
from serving_adapter.deployment import Running, Step
from serving_adapter.deployment.steps import REGISTER, STOP, SWITCH
from serving_adapter.replicas import Target

__all__ = ["story", "undeploying"]


def undeploying(place: Place, name: str) -> str:
    """Return the command that stops a pipeline at a target."""
    return shlex.join(["inferline", "undeploy", name, *target_words(place)])


def story(
    place: Place, name: str, running: Running, steps: Sequence[Step], target: Target, board: Board
) -> Iterator[str]:
    """Yield how a deployment stands, and how to go on or back.

    Parameters
    ----------
    place, name
        The options that name the target, and the pipeline's name.
    running
        What there was before.
    steps
        What was to be done.
    target
        Asked for what there is now.
    board
        Knows how far it came.
    """
    yield f"{len(board.ended)} of {len(steps)} steps are done"
    for step in board.begun[len(board.ended) :]:
        yield f"under way: {step_words(step)}"
    switched = any(step.kind in {REGISTER, SWITCH} for step in board.ended)
    if not steps:
        yield "what is asked for is deployed already"
    elif running.record is None:
        yield "the pipeline is registered; its queries wait for replicas" if switched else "nothing serves yet"
    elif switched:
        yield "queries go to the new plan; what is too many is still there"
    elif any(step.kind == STOP for step in board.begun):
        yield "queries go to the former plan, of which a hardware limit has stopped replicas"
    else:
        yield "queries go to the former plan, of which nothing was stopped"
    try:
        requested = target.requested(name)
        ready = [each.key for each in target.list(name) if each.phase == "ready"]
        for key, count in requested.items():
            yield f"{set_words(key)}: {ready.count(key)} of {count} replicas can serve"
    except InferlineError as error:
        yield f"the target does not say what runs: {error}"
    yield "to go on: the same command again takes up from here"
    if running.record is None:
        yield f"to go back: {undeploying(place, name)}"
    else:
        at = shlex.join(["inferline", "status", name, *target_words(place), "--format", "json"])
        yield f"to go back: inferline deploy with the former plan.json ({at} has it)"
