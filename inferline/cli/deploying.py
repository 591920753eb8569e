"""What ``inferline deploy`` does: look at what runs, order the steps, do them, and say where it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inferline.cli.deploy_board import Board, step_words
from inferline.cli.deploy_story import story, undeploying
from inferline.cli.server_options import Reached, Server, address, reached
from inferline.cli.targets import check_options
from inferline.errors import InputError, OutsideError
from serving_adapter.client.admin import AdminClient
from serving_adapter.client.starting import await_core
from serving_adapter.deployment import (
    Files,
    Site,
    Step,
    Wanted,
    carry_out,
    plan_steps,
    read_running,
    wanted_of,
)
from serving_adapter.deployment.versions import versions_of
from serving_adapter.replicas import CoreAddress, CoreOptions, Target

__all__ = ["Asked", "Done", "check", "core_options", "deploy"]

_CORE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The arguments of ``inferline deploy``, as the options name them."""

    plan: Path
    pipeline: Path
    target: str
    server: Server | None
    reach: Server | None
    dry_run: bool
    versions: tuple[str, ...]
    allow_gaps: bool
    timeout_s: float
    host: str
    query_port: int
    admin_port: int
    rpc_port: int
    serve_options: tuple[str, ...]
    admin_token: str | None
    engine_url: str | None
    namespace: str | None
    context: str | None
    image: str | None
    network: str | None
    options_file: Path | None
    form: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of it.

    Parameters
    ----------
    reached
        Where the serving core is.
    wanted
        What runs now.
    steps
        What was done for it; nothing when it ran already.
    remarks
        What replicas that can serve have to say, as that they share a core.
    """

    reached: Reached
    wanted: Wanted
    steps: tuple[Step, ...]
    remarks: tuple[str, ...]


def check(asked: Asked) -> None:
    """Check what options say without asking anybody.

    Raises
    ------
    InputError
        When one is not for the target, or a port cannot be.
    """
    check_options(asked)
    if asked.server is not None:
        address(asked.server, asked.query_port, asked.admin_port, asked.rpc_port)


def core_options(asked: Asked) -> CoreOptions:
    """Return how the target runs the serving core."""
    return CoreOptions(
        host=asked.host,
        query_port=asked.query_port,
        admin_port=asked.admin_port,
        rpc_port=asked.rpc_port,
        arguments=asked.serve_options,
    )


def deploy(
    asked: Asked,
    files: Files,
    versions: Mapping[str, str],
    target: Target,
    board: Board,
    still_ours: Callable[[], None],
) -> Done | None:
    """Deploy a plan; return None when somebody has interrupted it, after saying how it stands.

    Parameters
    ----------
    asked, files
        The options, and what was read.
    versions
        By stage, the version that is asked for.
    target
        Where replicas run.
    board
        Told what is going on.
    still_ours
        Raises OutsideError when somebody else may change the deployment; see `inferline.cli.changing`.

    Raises
    ------
    InputError
        When the core or the target refuses something, or a stage would be without replicas for a while.
    OutsideError
        When the core or the target cannot be reached or fails, or replicas cannot serve in time.
    """
    name = files.pipeline.name
    core, found = _core(asked, name, target, board)
    with AdminClient(found.admin_url, asked.admin_token) as admin:
        running = read_running(target, admin, name, files.stages)
        registered = None if running.record is None else running.record["pipeline"]
        chosen = versions_of(files.document, files.hardware, registered, running.standing.versions, versions)
        wanted = wanted_of(files, chosen)
        steps = plan_steps(running.standing, wanted.standing, files.stages, files.limits)
        if not asked.allow_gaps:
            _refuse_gaps(steps)
        board.expect({each.key: each.replicas for each in wanted.sets.values()})
        site = Site(
            target=target,
            core=core,
            admin=admin,
            query_url=found.query_url,
            timeout_s=asked.timeout_s,
            check=still_ours,
        )
        try:
            carry_out(steps, site, files, wanted, running.sets(files), board)
        except KeyboardInterrupt:
            for line in story(asked, name, running, steps, target, board):
                board.say(f"interrupted: {line}")
            return None
        except InputError:
            for line in story(asked, name, running, steps, target, board):
                board.say(line)
            raise
        except OutsideError as error:
            told = story(asked, name, running, steps, target, board)
            raise OutsideError("\n  ".join([str(error), *told])) from error
    said = {each.message for each in target.list(name) if each.phase == "ready" and each.message}
    return Done(reached=found, wanted=wanted, steps=steps, remarks=tuple(sorted(said)))


def _core(asked: Asked, name: str, target: Target, board: Board) -> tuple[CoreAddress, Reached]:
    """Return the serving core once it answers, as replicas reach it and as it is reached from here."""
    tls = any("--tls-cert" in each for each in asked.serve_options)
    try:
        if asked.server is not None:
            core = address(asked.server, asked.query_port, asked.admin_port, asked.rpc_port)
        else:
            board.tell("starting the serving core")
            core = target.start_core(name, core_options(asked))
        found = reached(core, asked.reach or asked.server, tls=tls, option="--reach")
        board.tell(f"waiting for the serving core at {found.admin_url}")
        with AdminClient(found.admin_url, asked.admin_token) as admin:
            await_core(admin, found.query_url, min(asked.timeout_s, _CORE_S))
    except OutsideError as error:
        if asked.server is not None:
            raise
        raise OutsideError("\n  ".join([*_said(str(error), target, name), _ending(asked, name)])) from error
    except KeyboardInterrupt:
        board.say(_ending(asked, name))
        raise
    return core, found


def _ending(asked: Asked, name: str) -> str:
    return f"nothing was deployed; {undeploying(asked, name)} ends what was started for it"


def _said(message: str, target: Target, name: str) -> list[str]:
    """Return why there is no serving core, with what the target says of it beside that."""
    try:
        trouble = target.core_trouble(name)
    except OutsideError:  # it has been said already that something is wrong
        trouble = ""
    return [message] if trouble in message else [message, f"at the target: {trouble}"]


def _refuse_gaps(steps: Sequence[Step]) -> None:
    gaps = [step_words(step) for step in steps if step.is_gap]
    if gaps:
        raise InputError(
            f"a stage would be without replicas for a while: {'; '.join(gaps)}. Its queries would wait, up to their "
            f"deadline; raise the hardware's limit, or say --allow-gaps"
        )
