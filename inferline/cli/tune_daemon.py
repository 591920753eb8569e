"""``inferline tune daemon``."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import click

from inferline.cli.failures import INTERRUPTED
from inferline.cli.outputs import Seconds
from inferline.cli.server_options import ADMIN_PORT, ADMIN_TOKEN, QUERY_PORT, ServerAddress
from inferline.cli.targets import TARGETS, open_target, target_options
from inferline.cli.tune_board import watching
from inferline.cli.tune_parts import (
    Asked,
    arrivals_of,
    check_arrivals,
    core_of,
    lease_of,
    situation_of,
    warm,
)
from inferline.cli.tune_replan import Forces, begin, check_replan, replan_options, replanning_of
from inferline.errors import Fault, InputError
from inferline.files import load
from inferline.units import NANO
from serving_adapter.deployment import read_files
from tuner.daemon import Daemon, Parts
from tuner.health import Health, HealthServer
from tuner.policies import POLICIES

__all__ = ["command"]

_log = logging.getLogger(__name__)


@click.command("daemon")
@click.argument("plan", type=click.Path(path_type=Path))
@click.option("--pipeline", type=click.Path(path_type=Path), required=True, help="pipeline.yaml of the plan.")
@click.option("--target", type=click.Choice(TARGETS), default="local", show_default=True, help="Where replicas run.")
@click.option(
    "--arrivals",
    metavar="URL",
    help="Where arrivals are read: core://HOST:ADMIN_PORT or prometheus://HOST:PORT.  [default: the target's core]",
)
@click.option(
    "--server",
    type=ServerAddress(),
    metavar="HOST[:ADMIN_PORT]",
    help="The serving core as replicas reach it, when the target runs none.",
)
@click.option("--query-port", type=click.IntRange(1, 65535), default=QUERY_PORT, help="Its port for queries.")
@click.option("--admin-port", type=click.IntRange(1, 65535), default=ADMIN_PORT, help="Its port for administration.")
@click.option("--rpc-port", type=click.IntRange(1, 65535), default=7000, help="Its port for replicas.")
@click.option("--policy", type=click.Choice(list(POLICIES)), default="twin", show_default=True, help="What decides.")
@click.option(
    "--set",
    "options",
    multiple=True,
    metavar="NAME=NUMBER",
    help="A constant of the policy that differs from its default; may be given again.",
)
@click.option(
    "--tick", "tick_s", type=Seconds(), default="1s", show_default=True, metavar="1s", help="Time between two looks."
)
@click.option(
    "--activation",
    "activation_s",
    type=Seconds(),
    metavar="5s",
    help="From the request for a replica to its first answer.  [default: load_s of the profiles, or 5 s]",
)
@click.option(
    "--confirm-within",
    "confirm_s",
    type=Seconds(),
    metavar="1min",
    help="How long a change may take before the stage goes on without it.  [default: 3 activation delays, from 30 s]",
)
@click.option(
    "--settle",
    "settle_s",
    type=Seconds(),
    default="30s",
    show_default=True,
    metavar="30s",
    help="Nothing goes down for so long after the start, a gap in the metrics or a jump of the clock.",
)
@click.option(
    "--calm",
    "calm_s",
    type=Seconds(),
    metavar="15s",
    help="A stage goes down to the most that was wanted in so long.  [default: 3 activation delays, from 15 s]",
)
@click.option(
    "--respect",
    "respect_s",
    type=Seconds(),
    default="5min",
    show_default=True,
    metavar="5min",
    help="How long replicas that somebody else has asked for stay.",
)
@click.option(
    "--floor",
    type=click.Choice(["pipeline", "plan"]),
    default="pipeline",
    show_default=True,
    help="Least replicas: the pipeline file's minima, or what the plan has.",
)
@replan_options
@click.option(
    "--lease",
    metavar="URL",
    help="Who of several daemons leads: file:///PATH, redis://HOST:PORT, kubernetes or none.  "
    "[default: a Lease object in Kubernetes, else a file of this user on this machine]",
)
@click.option("--health-port", type=click.IntRange(0, 65535), default=0, help="On 127.0.0.1; 0 takes a free one.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@ADMIN_TOKEN
@target_options
@click.pass_context
def command(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - the fields of Asked
    """Scale a deployed plan's replicas as its traffic changes.

    PLAN is the plan.json that is deployed; when another one is deployed, it goes on with that. Every change is one
    line on standard error, with its reason. It runs until SIGTERM or ctrl-C, and leaves the replicas as they are
    then. A second daemon stands by until the first has gone.

    \b
    Example:
      inferline tune daemon plan.json --pipeline pipeline.yaml --arrivals core://127.0.0.1:1338
      inferline tune daemon plan.json --pipeline pipeline.yaml --replan apply
      inferline tune daemon plan.json --pipeline pipeline.yaml --dry-run
    """
    asked = Asked(**{**options, "options": _numbers(options["options"])})
    if not asked.tick_s:
        raise InputError(Fault("--tick", "", "is 0; give it some time"))
    check_arrivals(asked)
    check_replan(asked)
    files = read_files(asked.pipeline, asked.plan)
    lease = lease_of(asked, files.pipeline.name)
    inputs = load(asked.pipeline)
    situation = situation_of(asked, inputs, files.plan, str(asked.plan))
    spec = POLICIES[asked.policy]
    warm(situation, spec.policy)
    health = Health(round(asked.tick_s * NANO))
    with ExitStack() as stack:
        target = stack.enter_context(closing(open_target(asked)))
        core = core_of(asked, files.pipeline.name, target)
        forces = Forces(asked, target, core, inputs, files)
        force, plans, same = begin(asked, forces, situation)
        stack.enter_context(closing(plans))
        arrivals = stack.enter_context(closing(arrivals_of(asked, files, core)))
        at = stack.enter_context(HealthServer(health, asked.health_port))
        board = stack.enter_context(watching())
        logging.basicConfig(
            stream=sys.stderr, level=logging.INFO, format="time=%(asctime)s level=%(levelname)s %(message)s"
        )
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of every request
        if not same:
            _log.warning('event=plan_differs message="%s is not what is deployed; it goes on with that"', asked.plan)
        daemon = Daemon(
            Parts(
                situation=force.situation,
                policy=spec.policy,
                rules=force.rules,
                arrivals=arrivals,
                replicas=force.replicas,
                health=health,
                lease=lease,
                limit_s=max(10.0, 5 * asked.tick_s),
                watch=board,
                plans=plans,
                replanning=replanning_of(asked, force.situation, forces, plans),
            )
        )
        ended_by = _run(
            daemon,
            f"{files.pipeline.name} policy={asked.policy} replan={asked.replan} "
            f"health=http://127.0.0.1:{at.port}/health",
        )
    if ended_by == signal.SIGINT:
        context.exit(INTERRUPTED)


def _run(daemon: Daemon, words: str) -> int:
    """Run until a signal; return which."""
    came: list[int] = []

    def stop(number: int, frame: object) -> None:  # noqa: ARG001 - as signal calls it
        came.append(number)
        daemon.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    _log.info("event=tuning pipeline=%s", words)
    try:
        daemon.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    _log.info("event=left message=%s", '"replicas stay as they are"')
    return came[0] if came else 0


def _numbers(options: tuple[str, ...]) -> Mapping[str, float]:
    found, faults = {}, []
    for option in options:
        name, _, text = option.partition("=")
        try:
            found[name] = float(text)
        except ValueError:
            faults.append(Fault("--set", "", f"{option!r} is no constant; write NAME=NUMBER, like hold_s=30"))
    if faults:
        raise InputError(*faults)
    return found
