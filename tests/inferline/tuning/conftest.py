"""A pipeline deployed as processes of this machine, its traffic, and daemons that scale it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving_adapter.replicas.local import LocalTarget
from tests.inferline.tuning.burst import QUICK, Daemon, ended, until
from tests.inferline.tuning.files import write_files

COMMAND = [sys.executable, "-u", "-c", "from inferline.cli import main; main()"]


@dataclass
class Deployed:
    """A deployment and where it is."""

    folder: Path
    told: dict[str, Any]
    target: LocalTarget
    daemons: list[Daemon] = field(default_factory=list)

    @property
    def admin(self) -> str:
        return str(self.told["admin_url"]).removeprefix("http://")

    @property
    def query(self) -> str:
        return str(self.told["query_url"]).removeprefix("http://")

    def daemon(self, *options: str) -> Daemon:
        command = [*COMMAND, "tune", "daemon", "plan.json", "--pipeline", "pipeline.yaml", *QUICK, *options]
        process = subprocess.Popen(command, cwd=self.folder, stderr=subprocess.PIPE, text=True)
        self.daemons.append(Daemon(process))
        return self.daemons[-1]

    def requested(self) -> dict[str, int]:
        return {key.stage: count for key, count in self.target.requested("numbers").items()}


def run(folder: Path, *arguments: str) -> str:
    ended = subprocess.run(
        [*COMMAND, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Deployed]:
    """Return a deployment with one replica for each stage, planned for 4 queries/s."""
    folder = tmp_path / "pipeline"
    folder.mkdir()
    write_files(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INFERLINE_HOME", str(folder / "home"))
        patch.setenv("OMP_NUM_THREADS", "1")
        run(folder, "plan", "pipeline.yaml", "--out", "plan.json")
        free = ("--query-port", "0", "--admin-port", "0", "--rpc-port", "0")
        said = run(folder, "deploy", "plan.json", "--pipeline", "pipeline.yaml", *free, "--format", "json")
        found = Deployed(folder, json.loads(said), LocalTarget(folder / "home"))
        yield found
        ended(found.daemons)
        run(folder, "undeploy", "numbers")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def prometheus(deployed: Deployed, tmp_path: Path) -> Iterator[str]:
    """Return HOST:PORT of a Prometheus that scrapes the deployment's core every second."""
    program = shutil.which("prometheus")
    if program is None:
        say = pytest.fail if "CI" in os.environ else pytest.skip
        say("these tests run a real Prometheus: install prometheus (apt-get install prometheus)")
    scrape = {"job_name": "core", "static_configs": [{"targets": [deployed.query]}]}
    settings = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
    (tmp_path / "prometheus.yml").write_text(json.dumps(settings))
    port = free_port()
    where = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen([program, *where, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)

    def ready() -> bool:
        assert process.poll() is None, (tmp_path / "log").read_text()[-500:]
        try:
            return httpx.get(f"http://127.0.0.1:{port}/-/ready", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    until(ready)
    yield f"127.0.0.1:{port}"
    process.terminate()
    process.wait(20)
    log.close()
