"""What the options of ``inferline tune daemon`` come to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from inferline.cli.server_options import Server, address, reached
from inferline.cli.targets import kubernetes_options
from inferline.domain import draw_routes
from inferline.errors import Fault, InputError, OutsideError
from inferline.files import Inputs, complete_plan_of
from inferline.laboratory import experiment_of, look_ahead, network_of
from inferline.tuning import SeenArrivals
from inferline.units import NANO
from planner.transitions.timetable import activation_delay
from serving_adapter.arrivals import CoreArrivals, PrometheusArrivals
from serving_adapter.client.admin import AdminClient
from serving_adapter.deployment import Files
from serving_adapter.leases import FileLease, KubernetesLease, RedisLease
from serving_adapter.replicas import CoreAddress, Target
from serving_adapter.replicas.local.folders import file_name, home
from tuner.control import Rules
from tuner.policies import POLICIES
from tuner.protocols import Lease
from tuner.situation import Observation, Policy, Situation, StageObservation

__all__ = [
    "Asked",
    "admin_url",
    "arrivals_of",
    "check_arrivals",
    "core_of",
    "deployed_versions",
    "lease_of",
    "open_admin",
    "reads_core",
    "rules_of",
    "situation_of",
    "warm",
]

_LEAST_TIME_OUT_NS = 30 * NANO
_LEAST_CALM_NS = 15 * NANO


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The arguments of ``inferline tune daemon``, as the options name them."""

    plan: Path
    pipeline: Path
    target: str
    arrivals: str | None
    server: Server | None
    query_port: int
    admin_port: int
    rpc_port: int
    policy: str
    options: Mapping[str, float]
    tick_s: float
    activation_s: float | None
    confirm_s: float | None
    settle_s: float
    calm_s: float | None
    respect_s: float
    floor: str
    replan: str
    replan_after_s: float
    replan_every_s: float
    replan_out: Path | None
    lease: str | None
    health_port: int
    dry_run: bool
    admin_token: str | None
    engine_url: str | None
    namespace: str | None
    context: str | None
    image: str | None
    network: str | None
    options_file: Path | None


def situation_of(asked: Asked, inputs: Inputs, document: Mapping[str, Any], name: str) -> Situation:
    """Return what does not change while a plan is in force.

    Parameters
    ----------
    asked
        The options.
    inputs
        Pipeline, profiles and traffic.
    document, name
        The plan, and what faults call it.

    Raises
    ------
    InputError
        With every fault of the plan and of the options.
    """
    plan = complete_plan_of(document, name, inputs.pipeline, inputs.profiles)
    given_ns = None if asked.activation_s is None else round(asked.activation_s * NANO)
    delays = {
        stage.name: activation_delay(inputs.profiles[stage.model, chosen.hardware], given_ns).delay_ns
        for stage in inputs.pipeline.stages
        for chosen in (plan.configuration[stage.name],)
    }
    routes = draw_routes(inputs.pipeline, len(inputs.trace))
    situation = experiment_of(inputs.pipeline, inputs.profiles, plan, inputs.trace, routes, delays).situation
    spec = POLICIES[asked.policy]
    if unknown := [name for name in asked.options if name not in spec.options]:
        there = ", ".join(spec.options) or "none"
        raise InputError(
            *(Fault("--set", "", f"policy {asked.policy!r} has no {name!r}; it has {there}") for name in unknown)
        )
    situation = replace(situation, options=MappingProxyType(dict(asked.options)))
    return replace(situation, simulate=look_ahead(network_of(situation))) if spec.looks_ahead else situation


def rules_of(asked: Asked, situation: Situation, period_ns: int) -> Rules:
    """Return the constants of the controller."""
    floor = {
        stage.name: max(
            stage.min_replicas, situation.plan.configuration[stage.name].replicas if asked.floor == "plan" else 0
        )
        for stage in situation.pipeline.stages
    }
    time_out_ns = {
        name: max(_LEAST_TIME_OUT_NS, 3 * delay_ns) if asked.confirm_s is None else round(asked.confirm_s * NANO)
        for name, delay_ns in situation.activation_ns.items()
    }
    calm_ns = {
        name: max(_LEAST_CALM_NS, 3 * delay_ns) if asked.calm_s is None else round(asked.calm_s * NANO)
        for name, delay_ns in situation.activation_ns.items()
    }
    return Rules(
        floor=floor,
        time_out_ns=time_out_ns,
        calm_ns=calm_ns,
        tick_ns=round(asked.tick_s * NANO),
        period_ns=period_ns,
        settle_ns=round(asked.settle_s * NANO),
        operator_ns=round(asked.respect_s * NANO),
        dry_run=asked.dry_run,
    )


def warm(situation: Situation, policy: Policy) -> None:
    """Have the policy decide once for nothing: what it compiles takes seconds, and no tick shall wait for that.

    Raises
    ------
    InputError
        When one of its constants is out of range.
    """
    arrival_ns = np.arange(1, 21, dtype=np.int64) * (NANO // 2)
    stages = {
        name: StageObservation(
            arrival_ns=arrival_ns,
            queued=0,
            in_service=0,
            requested=each.replicas,
            ready=each.replicas,
            utilisation=0.5,
        )
        for name, each in situation.plan.configuration.items()
    }
    policy(situation, Observation(now_ns=10 * NANO, stages=stages), None)


def core_of(asked: Asked, name: str, target: Target) -> CoreAddress:
    """Return the serving core as replicas reach it.

    Raises
    ------
    InputError
        When nobody says where it is.
    OutsideError
        When the target cannot be asked.
    """
    if asked.server is not None:
        return address(asked.server, asked.query_port, asked.admin_port, asked.rpc_port)
    own = target.core(name)
    if own is None:
        raise InputError(f"target {asked.target} runs no serving core for {name}; say --server HOST[:ADMIN_PORT]")
    return own


def deployed_versions(asked: Asked, files: Files, target: Target) -> dict[str, str]:
    """Return the version of each stage that is asked for on the plan's hardware.

    Raises
    ------
    OutsideError
        When the target cannot be asked, or the plan is not deployed there.
    """
    requested = target.requested(files.pipeline.name)
    versions: dict[str, str] = {}
    for stage, hardware in files.hardware.items():
        found = [key.version for key in requested if (key.stage, key.hardware) == (stage, hardware)]
        serving = [key.version for key, count in requested.items() if key.stage == stage and count]
        if not found:
            raise OutsideError(
                f"stage {stage!r} has no replicas on {hardware} at target {asked.target}: the plan is not deployed "
                f"there; inferline deploy {asked.plan} --pipeline {asked.pipeline} does that"
            )
        if len(found) > 1 and len(set(serving)) != 1:
            raise OutsideError(
                f"stage {stage!r} runs as versions {', '.join(sorted(found))}: it is being moved; inferline deploy "
                "ends what it has begun"
            )
        versions[stage] = found[0] if len(found) == 1 else serving[0]
    return versions


def arrivals_of(asked: Asked, files: Files, core: CoreAddress) -> SeenArrivals:
    """Return where arrivals are read.

    Raises
    ------
    InputError
        When a client is not installed.
    OutsideError
        When the core's name means nothing here.
    """
    name = files.pipeline.name
    if not reads_core(asked):
        url = f"http://{(asked.arrivals or '').removeprefix('prometheus://')}"
        return SeenArrivals(PrometheusArrivals(url, name, files.stages), files.stages)
    return SeenArrivals(CoreArrivals(open_admin(asked, core), name), files.stages)


def reads_core(asked: Asked) -> bool:
    """Whether the serving core itself is asked, not a Prometheus."""
    return asked.arrivals is None or asked.arrivals.startswith("core://")


def admin_url(asked: Asked, core: CoreAddress) -> str:
    """Return where the core is administered, as it is reached from here.

    Raises
    ------
    OutsideError
        When its name means nothing here.
    """
    if asked.arrivals is not None and reads_core(asked):
        return f"http://{asked.arrivals.removeprefix('core://')}"
    return reached(core, option="--arrivals").admin_url


def open_admin(asked: Asked, core: CoreAddress) -> AdminClient:
    """Return a client of the core's administration; errors are those of `admin_url`."""
    return AdminClient(admin_url(asked, core), asked.admin_token, timeout_s=max(2.0, 3 * asked.tick_s))


def check_arrivals(asked: Asked) -> None:
    """Check the URL of arrivals.

    Raises
    ------
    InputError
        When it is none.
    """
    if asked.arrivals is None:
        return
    try:
        parts = urlsplit(asked.arrivals)
        fine = bool(parts.hostname) and parts.port is not None and not parts.path.strip("/")
    except ValueError:
        fine = False
    if not fine or parts.scheme not in {"core", "prometheus"}:
        message = f"{asked.arrivals!r} is none; write core://HOST:ADMIN_PORT or prometheus://HOST:PORT"
        raise InputError(Fault("--arrivals", "", message))


def lease_of(asked: Asked, name: str) -> Lease | None:
    """Return what says who leads; None where nobody needs to.

    Raises
    ------
    InputError
        When the URL is none.
    """
    if asked.lease == "none" or asked.dry_run:
        return None
    if asked.lease == "kubernetes" or (asked.lease is None and asked.target == "kubernetes"):
        return _kubernetes_lease(asked, name)
    if asked.lease is None:
        return FileLease(home(os.environ) / f"{file_name(name)}.tuner")
    if asked.lease.startswith("file:///"):
        return FileLease(Path(asked.lease.removeprefix("file://")))
    if asked.lease.startswith(("redis://", "rediss://")):
        return RedisLease(asked.lease, name, ttl_s=max(5.0, 5 * asked.tick_s))
    raise InputError(
        Fault("--lease", "", f"{asked.lease!r} is none; write file:///PATH, redis://HOST:PORT, kubernetes or none")
    )


def _kubernetes_lease(asked: Asked, name: str) -> Lease:
    from serving_adapter.replicas.kubernetes.connection import Connection  # noqa: PLC0415 - only when chosen
    from serving_adapter.replicas.kubernetes.names import core_name  # noqa: PLC0415

    if asked.target != "kubernetes":
        raise InputError(Fault("--lease", "", f"kubernetes is for --target kubernetes, not for {asked.target}"))
    namespace = kubernetes_options(asked).namespace
    duration_s = max(15, round(5 * asked.tick_s))
    return KubernetesLease(Connection(context=asked.context), namespace, f"{core_name(name)}-tuner", duration_s)
