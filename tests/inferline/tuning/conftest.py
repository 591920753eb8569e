"""A pipeline deployed as processes of this machine, its traffic, and daemons that scale it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving_adapter.replicas.local import LocalTarget

PIPELINE = """\
version: 1
name: numbers
slo: {latency: 800ms, percentile: 99}
profiles: profiles.csv
hardware:
  cpu: {price: $0.05/h}
stages:
  double: {model: doubler, replicas: {min: 1, max: 6}}
  add: {model: adder, after: [double], replicas: {min: 1, max: 6}}
models:
  doubler: {callable: "served:double"}
  adder: {callable: "served:add"}
workload:
  generate: {arrivals: poisson, rate: 4, duration: 60s, seed: 1}
"""

PROFILES = """\
model,hardware,batch_size,latency_mean_s,load_s
doubler,cpu,1,0.082,1.0
adder,cpu,1,0.022,1.0
"""

MODELS = """\
import time

def double(inputs):
    time.sleep(0.08)
    return [2 * each for each in inputs]

def add(inputs):
    time.sleep(0.02)
    return [each + 1 for each in inputs]
"""

COMMAND = [sys.executable, "-u", "-c", "from inferline.cli import main; main()"]


def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Wait until something is so, and return what."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return result


@dataclass
class Daemon:
    """A daemon as a process, and what it has said."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines += []
        for line in self.process.stderr:
            self.lines.append(line.rstrip())

    def said(self, event: str) -> list[str]:
        return [line for line in self.lines if f" event={event}" in line]

    def await_said(self, event: str, seconds: float = 30.0) -> str:
        def there() -> str | None:
            said = self.said(event)
            if not said and self.process.poll() is not None:
                pytest.fail(f"the daemon has ended: {self.lines}")
            return said[-1] if said else None

        found: str = until(there, seconds)
        return found

    def health(self, path: str) -> httpx.Response:
        url = re.search(r"health=(http://[^ ]*)/health", self.await_said("tuning"))
        assert url is not None
        return httpx.get(f"{url[1]}{path}", timeout=5)

    def scaled(self, stage: str) -> list[tuple[int, int]]:
        """Return (from, to) of every change of a stage."""
        found = (re.search(rf"stage={stage} from=(\d+) to=(\d+)", line) for line in self.said("scale"))
        return [(int(each[1]), int(each[2])) for each in found if each is not None]

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        code = self.process.wait(20)
        self.reader.join(10)
        return code


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
        command = [*COMMAND, "tune", "daemon", "plan.json", "--pipeline", "pipeline.yaml", *options]
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


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """Return a deployment with one replica for each stage, planned for 4 queries/s."""
    folder = tmp_path_factory.mktemp("tuned")
    for name, text in (("pipeline.yaml", PIPELINE), ("profiles.csv", PROFILES), ("served.py", MODELS)):
        (folder / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INFERLINE_HOME", str(folder / "home"))
        patch.setenv("OMP_NUM_THREADS", "1")
        run(folder, "plan", "pipeline.yaml", "--out", "plan.json")
        free = ("--query-port", "0", "--admin-port", "0", "--rpc-port", "0")
        said = run(folder, "deploy", "plan.json", "--pipeline", "pipeline.yaml", *free, "--format", "json")
        found = Deployed(folder, json.loads(said), LocalTarget(folder / "home"))
        yield found
        for daemon in found.daemons:
            if daemon.process.poll() is None:
                daemon.end(signal.SIGKILL)
            assert daemon.process.stderr is not None
            daemon.process.stderr.close()
        run(folder, "undeploy", "numbers")


@dataclass(frozen=True)
class Sent:
    """A query: when it was to be sent, in seconds from the start, and how long it took; None when it failed."""

    at_s: float
    latency_s: float | None


class Traffic:
    """Queries at even intervals, by (seconds, queries/s), sent whether the ones before are answered or not.

    The end of the block waits for the last of them; `stop` has no more be sent.
    """

    def __init__(self, url: str, *parts: tuple[float, float]) -> None:
        self.sent: list[Sent] = []
        self._url = url
        self._stopped = threading.Event()
        self._at_s = [
            sum(each[0] for each in parts[:place]) + number / rate
            for place, (seconds, rate) in enumerate(parts)
            for number in range(int(seconds * rate))
        ]
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send()))

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self.stop()
        self._thread.join(120)

    def stop(self) -> None:
        self._stopped.set()

    async def _send(self) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx.AsyncClient(timeout=20, limits=limits) as client:
            began = time.monotonic()

            async def one(at_s: float) -> None:
                sent = time.monotonic()
                reply = await client.post(self._url, json={"input": 3})
                fine = reply.status_code == 200 and not reply.json()["default"]
                self.sent.append(Sent(at_s, time.monotonic() - sent if fine else None))

            async with asyncio.TaskGroup() as group:
                for at_s in self._at_s:
                    await asyncio.sleep(max(0.0, began + at_s - time.monotonic()))
                    if self._stopped.is_set():
                        break
                    group.create_task(one(at_s))

    def late(self, first_s: float, end_s: float, latency_s: float) -> float:
        """Return the share of the queries of a time that were late."""
        found = [each for each in self.sent if first_s <= each.at_s < end_s]
        return sum(each.latency_s is None or each.latency_s > latency_s for each in found) / len(found)


@pytest.fixture
def traffic() -> type[Traffic]:
    return Traffic


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


@pytest.fixture
def wait_until() -> Callable[..., Any]:
    return until
