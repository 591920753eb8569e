"""Deployments of real processes, all gone in the end."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest

from inferline.domain import Hardware
from serving_adapter.models import ModelEntry
from serving_adapter.replicas import CoreAddress, CoreOptions, Replica, ReplicaSet, Target
from serving_adapter.replicas.local import LocalTarget
from serving_adapter.replicas.local.asking import ask
from serving_adapter.replicas.local.messages import Request

T = TypeVar("T")

LONG_S = 30.0
"""No test waits for as long unless it fails."""

MODELS = """
import time
from pathlib import Path

HERE = Path(__file__).parent

def double(inputs):
    return [2 * each for each in inputs]

def triple(inputs):
    return [3 * each for each in inputs]

def when_told(inputs):
    (HERE / "begun").touch()
    while not (HERE / "go").exists():
        time.sleep(0.005)
    return inputs
"""


class Place:
    """A local target in a folder of its own, and what can be seen of its processes from outside."""

    deployment = "cascade"
    core = CoreAddress(host="127.0.0.1", rpc_port=9)  # where nobody listens: containers go on trying

    quick: ClassVar = {
        "kind": "container",
        "target": "image",
        "options": {"command": ["sh", "-c", 'echo here; touch "$INFERLINE_READY_FILE"; exec sleep 300']},
    }
    """Entry of a replica that starts in no time, where it does not matter that it serves nothing."""

    def __init__(self, folder: Path) -> None:
        self.target: Target = LocalTarget(folder / "home")
        self.home = folder / "home"
        self.folder = self.home / self.deployment
        self.models = folder

    def wanted(
        self, replicas: int, *, stage: str = "rank", version: str = "1", cpus: float = 1, **entry
    ) -> ReplicaSet:
        described = {"kind": "callable", "target": "served:double", **entry}
        return ReplicaSet(
            deployment=self.deployment,
            stage=stage,
            model=f"{self.deployment}.{stage}",
            version=version,
            entry=ModelEntry(name=stage, folder=self.models, **described),
            hardware=Hardware(name=f"cpu-{cpus:g}", price_nano_usd_per_hour=0, cpus=cpus),
            replicas=replicas,
        )

    def start(self, replicas: int, **more) -> ReplicaSet:
        wanted = self.wanted(replicas, **more)
        self.target.start(wanted, self.core)
        return wanted

    def start_core(self) -> CoreAddress:
        return self.target.start_core(self.deployment, CoreOptions(query_port=0, admin_port=0, rpc_port=0))

    def phases(self) -> dict[str, str]:
        return {each.id: each.phase for each in self.target.list(self.deployment)}

    def pids(self) -> dict[str, int]:
        """Return the number of each process of the deployment, by what it is called; the serving core is "core"."""
        found = {}
        for pid, variables in marked(self.folder):
            found[Path(variables.get("INFERLINE_READY_FILE", "core")).name] = pid
        return found

    def supervisor(self) -> int:
        """Return the number of the supervisor that was started last."""
        return int(re.findall(r"event=listening pid=(\d+)", (self.folder / "supervisor.log").read_text())[-1])

    def is_looked_after(self) -> bool:
        """Whether a supervisor runs."""
        with (self.folder / "lock").open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def found(self, name: str, phase: str, restarts: int | None = None) -> Replica | None:
        """Return a replica if it is there in that phase."""
        for each in self.target.list(self.deployment):
            if (each.id, each.phase) == (name, phase) and restarts in {None, each.restarts}:
                return each
        return None

    @staticmethod
    def until(condition: Callable[[], T], seconds: float = LONG_S) -> T:
        """Wait until something is so, and return what; nothing else is waited for in these tests."""
        end = time.monotonic() + seconds
        while not (result := condition()):
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.01)
        return result


def marked(folder: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the processes of deployments in a folder, with their environment variables."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            texts = (each / "environ").read_bytes().decode(errors="replace").split("\0")
            variables = dict(text.partition("=")[::2] for text in texts)
            if variables.get("INFERLINE_DEPLOYMENT_FOLDER", "").startswith(str(folder)):
                found.append((int(each.name), variables))
    return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Return a target; nothing that it has started is left in the end."""
    made = Place(tmp_path)
    (tmp_path / "served.py").write_text(MODELS)
    yield made
    (tmp_path / "go").touch()
    for folder in made.home.glob("*"):
        made.folder = folder
        ask(folder, Request(do="stop"))
        try:
            made.until(lambda: not made.is_looked_after())
        except AssertionError:
            os.kill(made.supervisor(), signal.SIGKILL)
            raise
    made.until(lambda: marked(made.home) == [])
