"""A real Podman and a real Docker, an image of this working tree, and a serving core beside them.

Podman takes the runtime from its service, so there are two services over one storage, one for gVisor. The image is
made from this Python and its packages: there is no registry to pull from. What the engines store is kept between
runs, in ``$XDG_CACHE_HOME/inferline-tests``.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import docker
import pytest

from inferline.domain import Hardware
from serving_adapter.models import ModelEntry
from serving_adapter.replicas import CoreAddress, Replica, ReplicaSet, Target
from serving_adapter.replicas.docker import DockerOptions, DockerTarget, build_image
from tests.inferline.tuning.files import MODELS as SLEEPING
from tests.serving_adapter.replicas.docker import root_file_system
from tests.serving_adapter.replicas.docker.asking import Core
from tests.serving_adapter.replicas.docker.engines import (
    LONG_S,
    Engine,
    configure,
    docker_engine,
    forget,
    has_image,
    locked,
    missing,
    podman,
    sweep,
)

PROJECT = Path(__file__).parents[4]
IMAGE = "localhost/inferline-test"
SERVE = "from inferline.cli import main; main()"

MODELS = '''
import ctypes
import os
import time
from pathlib import Path

SHARES = ("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us")  # of version 2, and 1


def double(inputs):
    return [2 * float(each[0]) for each in inputs]


def slow(inputs):
    Path("/tmp/begun").touch()
    time.sleep(2)
    return [float(each[0]) for each in inputs]


def boot_messages(inputs):
    """What the kernel has logged, as dmesg shows it."""
    text = ctypes.create_string_buffer(1 << 16)
    size = ctypes.CDLL(None).klogctl(3, text, len(text))
    return [text.raw[: max(size, 0)].decode(errors="replace") for _ in inputs]


def about_itself(inputs):
    share = next(path for path in map(Path, SHARES) if path.exists()).read_text().split()[0]
    itself = {"user": os.getuid(), "threads": os.environ["OMP_NUM_THREADS"]}
    return [{**itself, "cores": sorted(os.sched_getaffinity(0)), "share": share} for _ in inputs]
'''


@pytest.fixture(scope="session")
def cache() -> Path:
    """Return the folder that is kept between runs; skip where the engine cannot run, but not in CI."""
    lacking = "root" if os.geteuid() != 0 else " ".join(missing())
    if lacking:
        say = pytest.fail if "CI" in os.environ else pytest.skip
        say(f"these tests run a real Podman and a real Docker; what lacks (apt-get install) is {lacking}")
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inferline-tests"
    kept.mkdir(parents=True, exist_ok=True)
    with locked(kept / "lock"):
        configure(kept)
    return kept


@pytest.fixture(scope="session", params=["podman", "docker"])
def service(request, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Start an engine; its images are kept for the next run, its containers are not."""
    folder = tmp_path_factory.mktemp(request.param)
    with podman(cache, folder / "a.sock") if request.param == "podman" else docker_engine(cache, folder) as started:
        yield started


@pytest.fixture(scope="session")
def sandboxing_service(service: Engine, cache: Path, tmp_path_factory) -> Iterator[Engine]:
    """Return an engine that can run containers in gVisor: for Podman, a service that runs all of them there."""
    if service.kind == "docker":
        yield service
        return
    with podman(cache, tmp_path_factory.mktemp("sandboxing") / "a.sock", "runsc") as started:
        yield started


@pytest.fixture(scope="session")
def engine(service: Engine) -> Iterator[docker.DockerClient]:
    """Return a client of the engine that is not ours."""
    client = docker.DockerClient(base_url=service.url, timeout=60)
    sweep(client)
    yield client
    client.close()


@pytest.fixture(scope="session")
def base_image(engine: docker.DockerClient, cache: Path) -> str:
    """Return an image with this Python and the packages that a serving core and a callable need."""
    content = root_file_system.content()
    name = f"{IMAGE}-base:{content.digest}"
    with locked(cache / "lock"):
        if not has_image(engine, name):
            forget(engine, f"{IMAGE}-base")
            archive = cache / f"base-{os.getpid()}.tar"
            try:
                with tarfile.open(archive, "w") as tar:
                    root_file_system.write(content, tar)
                repository, _, tag = name.rpartition(":")
                changes = list(root_file_system.CHANGES)
                # Podman leaves the tag of an import out, so it is given afterwards.
                engine.api.import_image(str(archive), repository=repository, tag="latest", changes=changes)
                engine.images.get(f"{repository}:latest").tag(repository, tag)
            finally:
                archive.unlink(missing_ok=True)
    return name


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Return what makes a wheel of this working tree, once."""

    @functools.cache
    def make() -> Path:
        wheels = tmp_path_factory.mktemp("wheels")
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(PROJECT)]
        subprocess.run(pip, check=True)
        (made,) = wheels.glob("*.whl")
        return made

    return make


@pytest.fixture(scope="session")
def image(
    service: Engine,
    engine: docker.DockerClient,
    base_image: str,
    cache: Path,
    wheel: Callable[[], Path],
    tmp_path_factory,
) -> str:
    """Return an image of this working tree and a folder of models, built as users build theirs."""
    sources = sorted(
        path
        for package in ("inferline", "profiler", "simulator", "planner", "tuner", "serving_adapter")
        for path in (PROJECT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    )
    digest = hashlib.sha256(f"{base_image}\n{MODELS}\n{SLEEPING}".encode())
    for path in (PROJECT / "pyproject.toml", *sources):
        digest.update(f"{path.relative_to(PROJECT)}\n".encode() + path.read_bytes())
    name = f"{IMAGE}:{digest.hexdigest()[:16]}"
    with locked(cache / "lock"):
        if not has_image(engine, name):
            folder = tmp_path_factory.mktemp("pipeline")
            (folder / "models.py").write_text(MODELS)
            (folder / "served.py").write_text(SLEEPING)
            forget(engine, IMAGE)
            build_image(folder, ("callable",), name, wheel=wheel(), base=base_image, url=service.url)
    return name


@pytest.fixture
def another_service(cache: Path, tmp_path: Path) -> Iterator[Engine]:
    """Start an engine of one's own, to be ended."""
    with podman(cache, tmp_path / "a.sock") as started:
        yield started


@pytest.fixture
def target(service: Engine, image: str, swept: None) -> Iterator[DockerTarget]:
    """Return a target of plain containers."""
    made = DockerTarget(DockerOptions(url=service.url, image=image, grace_s=5.0))
    yield made
    made.close()


@pytest.fixture
def sandboxing_target(sandboxing_service: Engine, image: str, swept: None) -> Iterator[DockerTarget]:
    """Return a target of containers in gVisor."""
    made = DockerTarget(DockerOptions(url=sandboxing_service.url, image=image, grace_s=5.0))
    yield made
    made.close()


@pytest.fixture
def swept(engine: docker.DockerClient, request) -> Iterator[None]:
    """See to it that what a test has started is gone in the end."""
    yield
    for each in engine.containers.list(all=True, filters={"label": "inferline.deployment"}, ignore_removed=True):
        if each.labels["inferline.deployment"].startswith(name_of(request)):
            each.remove(force=True)


def name_of(request) -> str:
    """Return the deployment of a test, which no other test shares."""
    return f"{request.node.name}-{os.getpid()}"


@pytest.fixture
def a_set(request) -> Callable[..., ReplicaSet]:
    """Return what makes sets of a deployment of the test's own."""

    def make(replicas: int, function: str = "double", *, deployment: str = "", **more) -> ReplicaSet:
        named = f"{name_of(request)}{deployment}"
        hardware = more.pop("hardware", Hardware(name="cpu-1", price_nano_usd_per_hour=0))
        entry = ModelEntry(name=function, kind="callable", target=f"models:{function}", input_type="doubles")
        return ReplicaSet(
            **{
                "deployment": named,
                "stage": function,
                "model": f"{named}.{function}",
                "version": "1",
                "entry": entry,
                "hardware": hardware,
                "replicas": replicas,
                **more,
            }
        )

    return make


@pytest.fixture(scope="session")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Core]:
    """Start a serving core as a process of its own, as users do."""
    ports = [f"--{kind}-port=0" for kind in ("query", "admin", "rpc")]
    command = [sys.executable, "-c", SERVE, "serve", "--state", "memory://", *ports]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path_factory.mktemp("core")) as process:
        said = ""
        while "model containers" not in said:
            line = process.stderr.readline()
            assert line, f"it ended: {said}"
            said += line
        drain = threading.Thread(target=process.stderr.read, daemon=True)  # so that it never waits for a reader
        drain.start()
        query, admin, rpc = (int(port) for port in re.findall(r"//127.0.0.1:(\d+)", said)[-3:])
        asked = Core(CoreAddress(host="127.0.0.1", query_port=query, admin_port=admin, rpc_port=rpc))
        yield asked
        asked.close()
        process.send_signal(signal.SIGTERM)
        process.wait(LONG_S)
        drain.join(LONG_S)


@pytest.fixture
def network(engine: docker.DockerClient) -> Iterator[str]:
    """Make a network of containers, which has names."""
    made = engine.networks.create(f"inferline-test-{os.getpid()}", driver="bridge")
    yield made.name
    made.remove()


@pytest.fixture
def core_at() -> Iterator[Callable[[CoreAddress], Core]]:
    """Return what asks a core that runs elsewhere."""
    with ExitStack() as everything:

        def ask(at: CoreAddress) -> Core:
            asked = Core(at)
            everything.callback(asked.close)
            return asked

        yield ask


@pytest.fixture
def settled() -> Callable[[Target, str, Callable[[tuple[Replica, ...]], object]], tuple[Replica, ...]]:
    """Return what looks at a deployment until it is as it should be."""

    def wait(
        target: Target, deployment: str, condition: Callable[[tuple[Replica, ...]], object]
    ) -> tuple[Replica, ...]:
        end = time.monotonic() + LONG_S
        while not condition(there := target.list(deployment)):
            assert time.monotonic() < end, f"it did not happen: {there}"
            time.sleep(0.05)
        return there

    return wait
