"""Processes of model containers, as a cluster would start them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from serving_adapter.rpc.single import SingleReplica

LONG_S = 20.0
"""No test waits for as long unless it fails."""


class Runtime:
    """A running container, with what it logs."""

    def __init__(self, folder: Path, options: tuple[str, ...], environment: dict[str, str]) -> None:
        self.folder = folder
        self.ready_file = folder / "ready"
        self._log = folder / "log"
        inherited = {
            name: text for name, text in os.environ.items() if not name.startswith(("CLIPPER_", "INFERLINE_"))
        }
        named = {"CLIPPER_MODEL_NAME": "m", "CLIPPER_MODEL_VERSION": "1", "INFERLINE_METRICS_PORT": "0"}
        where = {"INFERLINE_READY_FILE": str(self.ready_file), "INFERLINE_FOLDER": str(folder)}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "serving_adapter.rpc.container", *options],
                env=inherited | named | where | environment,
                stdout=log,
                stderr=log,
            )

    def alive(self) -> None:
        """Fail, with what it has logged, when it has ended."""
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log}"

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is so, as long as the container lives."""
        end = time.monotonic() + LONG_S
        while not condition():
            self.alive()
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.005)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.code()

    def code(self) -> int:
        """Return the exit code once it has ended."""
        return self.process.wait(LONG_S)

    @property
    def log(self) -> str:
        return self._log.read_text()


@pytest.fixture
def start(tmp_path: Path):
    """Return what starts a container; options as on its command line, environment variables by name."""
    with ExitStack() as everything:

        def begin(*options: str, server: SingleReplica | None = None, **environment: str) -> Runtime:
            if server is not None:
                environment["CLIPPER_PORT"] = str(server.port)
            runtime = Runtime(tmp_path, options, environment)
            everything.callback(runtime.process.wait, LONG_S)
            everything.callback(runtime.process.kill)
            return runtime

        yield begin


@pytest.fixture
def single():
    """Return a server for one container."""
    server = SingleReplica()
    yield server
    server.close()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Write a module of models, `served`, and return its folder."""
    (tmp_path / "served.py").write_text(MODELS)
    return tmp_path


MODELS = """
import ctypes
import os
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent

def double(inputs):
    return [2 * each for each in inputs]

def total(inputs):
    return [float(each.sum()) for each in inputs]

def when_told(inputs):
    (HERE / "begun").touch()
    while not (HERE / "go").exists():
        time.sleep(0.005)
    return inputs

def raises(inputs):
    raise LookupError("no class 8\\nin here")

def one_too_few(inputs):
    return inputs[1:]

def imports(inputs):
    import no_such_module

def leaves(inputs):
    sys.exit(0)

def about_itself(inputs):
    np.ones((300, 300)) @ np.ones((300, 300))  # whatever threads the library has are there now
    threads = [each.name for each in Path("/proc/self/task").iterdir()]
    cores = [sorted(os.sched_getaffinity(int(each))) for each in threads]
    return [{"cores": cores, "threads": os.environ["OPENBLAS_NUM_THREADS"]} for _ in inputs]
"""
