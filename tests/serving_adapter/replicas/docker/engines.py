"""Container engines of the tests, and waiting for what they do."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import docker
import httpx
import pytest

LONG_S = 60.0
"""No test waits for as long unless it fails."""

PACKAGES = {
    "podman": "podman",
    "runc": "runc",
    "runsc": "runsc",
    "netavark": "netavark",
    "aardvark-dns": "aardvark-dns",
    "iptables": "iptables",
    "dockerd": "docker.io",
}
"""The programs that are started, and the Debian packages that bring them."""


@dataclass(frozen=True)
class Engine:
    """A container engine: ``podman`` or ``docker``, where it listens, and its process."""

    kind: str
    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def running(
    kind: str, command: list[str], socket: Path, variables: Mapping[str, str] | None = None
) -> Iterator[Engine]:
    """Start an engine that will listen on that socket; it is ended in the end."""
    said = socket.with_suffix(".log")
    with said.open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **(variables or {})}, stdout=log, stderr=log)
    try:
        until(lambda: answers(socket) or process.poll() is not None)
        if process.poll() is not None:
            pytest.fail(f"{command[0]} did not start: {said.read_text()[-1000:]}")
        yield Engine(kind=kind, url=f"unix://{socket}", process=process)
    finally:
        process.terminate()
        process.wait(LONG_S)


def podman(cache: Path, socket: Path, runtime: str = "runc") -> AbstractContextManager[Engine]:
    """Start a Podman service, whose containers that runtime runs."""
    command = podman_command(cache, "--runtime", runtime, "system", "service", "--time=0", f"unix://{socket}")
    return running("podman", command, socket, environment(cache))


@contextmanager
def docker_engine(cache: Path, folder: Path) -> Iterator[Engine]:
    """Start a Docker that leaves the firewall, and any other Docker that runs here, alone."""
    with a_place(cache) as place:
        flags = ["--network=host", "--ignore-cgroups"]
        said = {
            "bridge": "none",
            "iptables": False,
            "data-root": str(place),
            "exec-root": str(run_folder(cache) / place.name),
            "pidfile": str(folder / "pid"),
            "runtimes": {"runsc": {"path": "/usr/bin/runsc", "runtimeArgs": flags}},
        }
        configuration, socket = folder / "daemon.json", folder / "a.sock"
        configuration.write_text(json.dumps(said))
        with running(
            "docker", ["dockerd", f"--config-file={configuration}", f"--host=unix://{socket}"], socket
        ) as it:
            yield it


@contextmanager
def a_place(cache: Path) -> Iterator[Path]:
    """Return a folder that no other Docker uses now."""
    for number in count():
        with (cache / f"docker-{number}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield cache / f"docker-{number}"
            return


CONFIGURATION = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"

[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
exit_command_delay = 1

[network]
network_backend = "netavark"
network_config_dir = "{networks}"

[engine.runtimes]
runc = ["/usr/bin/runc", "/usr/sbin/runc"]
runsc = ["{sandbox}"]
"""


def missing() -> list[str]:
    """Return the packages that are not installed."""
    lacking = [each for each in PACKAGES if shutil.which(each) is None and not Path("/usr/lib/podman", each).exists()]
    return [PACKAGES[each] for each in lacking]


def configure(cache: Path) -> None:
    """Write down how containers are run."""
    # Podman starts a container again without the flags that its service got, so they are the runtime's own.
    sandbox = cache / "runsc"
    sandbox.write_text('#!/bin/sh\nexec /usr/bin/runsc --ignore-cgroups --network=host "$@"\n')
    sandbox.chmod(0o755)
    (cache / "containers.conf").write_text(CONFIGURATION.format(sandbox=sandbox, networks=cache / "networks"))


def run_folder(cache: Path) -> Path:
    """Return where engines keep what is of no use after a restart of the machine, and may be mounted."""
    return Path("/run/inferline-tests", hashlib.sha256(bytes(cache)).hexdigest()[:8])


def podman_command(cache: Path, *arguments: str) -> list[str]:
    run = run_folder(cache)
    places = ("--root", cache / "podman", "--runroot", run / "storage", "--tmpdir", run / "libpod")
    return ["podman", *map(str, places), *arguments]


def environment(cache: Path) -> dict[str, str]:
    return {"CONTAINERS_CONF": str(cache / "containers.conf")}


def answers(socket: Path) -> bool:
    if not socket.exists():
        return False
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket))) as client:
        try:
            return client.get("http://podman/_ping").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


def until(condition: Callable[[], object], seconds: float = LONG_S, pause_s: float = 0.05) -> None:
    """Wait until something is so; nothing else is waited for in these tests."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(pause_s)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time do it."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def has_image(engine: docker.DockerClient, name: str) -> bool:
    try:
        engine.images.get(name)
    except docker.errors.NotFound:
        return False
    return True


def forget(engine: docker.DockerClient, name: str) -> None:
    """Remove the images of that name that are older than a day; other working trees may use newer ones."""
    for each in engine.images.list(name):
        if datetime.now(UTC) - datetime.fromisoformat(each.attrs["Created"]) > timedelta(days=1):
            engine.images.remove(each.id, force=True)


def sweep(engine: docker.DockerClient) -> None:
    """Remove the containers of tests whose process was killed; they would be started again for ever."""
    for each in engine.containers.list(all=True, filters={"label": "inferline.deployment"}, ignore_removed=True):
        process = re.match(r"(?:test_.*|client)-([0-9]+)(?:-|$)", each.labels["inferline.deployment"])
        if process is not None and not Path("/proc", process[1]).exists():
            each.remove(force=True)
