"""How the processes of a deployment are started: commands and environment variables. Pure."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from serving_adapter.machine import Placement, variables
from serving_adapter.models import ModelEntry
from serving_adapter.replicas.local.folders import LOGS, READY, STATE
from serving_adapter.replicas.local.wanted import Asked
from serving_adapter.replicas.protocol import CoreOptions
from serving_adapter.rpc.values import data_type_of

__all__ = ["MARK", "Launch", "command_of", "core_launch", "reachable", "replica_launch"]

MARK = "INFERLINE_DEPLOYMENT_FOLDER"
"""Environment variable by which the processes of a deployment are found when nobody looks after them any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How to start a process.

    Parameters
    ----------
    command
        Program and arguments.
    environment
        All of its environment variables.
    folder
        Where it is started.
    log
        Where what it says is added.
    cores
        Cores to keep it on; none for all.
    ready_file
        Is there while it can serve; None when nobody asks.
    says_ready
        Whether it writes that file for certain; a foreign container may not know of it.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    cores: tuple[int, ...] = ()
    ready_file: Path | None = None
    says_ready: bool = True


def command_of(entry: ModelEntry) -> tuple[str, ...]:
    """Return the command that runs a model.

    Raises
    ------
    InputError
        When it is a container that no process of this machine can be.
    """
    if entry.kind != "container":
        return (sys.executable, "-P", "-m", "serving_adapter.rpc.container")
    command = entry.options.get("command")
    if command is None:
        advice = "the local target runs processes: say which, like [python, serve.py], or take another target"
        raise entry.fault("command", f"is not set; {advice}")
    words = _split(command) if isinstance(command, str) else command
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise entry.fault("command", f"{command!r} is no command; write it like [python, serve.py]")
    return tuple(words)


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # a quotation mark without its other one
        return []


def replica_launch(
    asked: Asked, placement: Placement, name: str, folder: Path, environment: Mapping[str, str]
) -> Launch:
    """Return how to start a replica.

    Parameters
    ----------
    asked
        What is to be started.
    placement
        Where it runs.
    name
        What it is called; a file name.
    folder
        The deployment's folder.
    environment
        Environment variables that it gets as they are, but for Clipper's and InferLine's.
    """
    wanted, ready = asked.replicas, folder / READY / name
    entry = wanted.entry
    inherited = {key: text for key, text in environment.items() if not key.startswith(("CLIPPER_", "INFERLINE_"))}
    foreign = entry.kind == "container"
    model = json.dumps(entry.document(own_accelerators=bool(placement.accelerators)))
    own = _clipper(entry) if foreign else {"INFERLINE_MODEL": model}
    return Launch(
        command=command_of(entry),
        environment={
            **inherited,
            **variables(placement),
            "CLIPPER_MODEL_NAME": wanted.model,
            "CLIPPER_MODEL_VERSION": wanted.version,
            "CLIPPER_IP": reachable(asked.core.host),
            "CLIPPER_PORT": str(asked.core.rpc_port),
            "INFERLINE_FOLDER": os.fspath(entry.folder),
            "INFERLINE_CPUS": ",".join(map(str, placement.cores)),
            "INFERLINE_THREADS": str(min(placement.threads, len(placement.cores))),
            "INFERLINE_READY_FILE": os.fspath(ready),
            "INFERLINE_METRICS_PORT": "0",
            MARK: os.fspath(folder),
            **own,
        },
        folder=entry.folder,
        log=folder / LOGS / f"{name}.log",
        cores=placement.cores,
        ready_file=ready,
        says_ready=not foreign,
    )


def core_launch(options: CoreOptions, folder: Path, environment: Mapping[str, str]) -> Launch:
    """Return how to start the serving core; its ports have been chosen."""
    ports = {"query": options.query_port, "admin": options.admin_port, "rpc": options.rpc_port}
    where = [part for name, port in ports.items() for part in (f"--{name}-port", str(port))]
    state = f"sqlite:///{folder / STATE}"
    fixed = (sys.executable, "-P", "-m", "inferline", "serve", "--state", state, "--host", options.host, *where)
    return Launch(
        command=(*fixed, *options.arguments),
        environment={**environment, MARK: os.fspath(folder)},
        folder=folder,
        log=folder / LOGS / "core.log",
    )


def reachable(host: str) -> str:
    """Return where a server on this machine is reached that listens there.

    Examples
    --------
    >>> reachable("0.0.0.0"), reachable("10.0.0.5")
    ('127.0.0.1', '10.0.0.5')
    """
    return "127.0.0.1" if host in {"", "0.0.0.0", "::"} else host


def _clipper(entry: ModelEntry) -> Mapping[str, str]:
    path = entry.options.get("model_path")
    placed = {} if path is None else {"CLIPPER_MODEL_PATH": os.fspath(entry.folder / str(path))}
    return {"CLIPPER_INPUT_TYPE": data_type_of(entry.input_type).readable, **placed}
