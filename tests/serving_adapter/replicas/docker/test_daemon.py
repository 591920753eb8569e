"""The daemon as a process, scaling containers of a real Podman while a burst comes and goes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.inferline.tuning.burst import FORGETFUL, QUICK, Daemon, burst, ended
from tests.inferline.tuning.files import PIPELINE, write_files
from tests.serving_adapter.replicas.docker.engines import LONG_S

pytestmark = [pytest.mark.containers, pytest.mark.parametrize("service", ["podman"], indirect=True)]


@pytest.fixture
def name():
    """Return a deployment's name by which its containers are found should this process be killed."""
    return f"test_daemon-{os.getpid()}"


@pytest.fixture
def command(tmp_path, name, service, image):
    """Return what makes a command for that engine: its words, and where it runs."""
    write_files(tmp_path)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE.replace("name: numbers", f"name: {name}"))
    environment = os.environ | {"INFERLINE_HOME": str(tmp_path / "home")}
    there = ("--target", "docker", "--engine-url", service.url)

    def made(*words):
        where = {"cwd": tmp_path, "env": environment, "text": True, "stderr": subprocess.PIPE}
        return {"args": [sys.executable, "-m", "inferline", *words, *there], **where}

    return made


@pytest.fixture
def deployed(command, name, image, tmp_path):
    """Return what deploying has said, with one replica for each stage, planned for 4 queries/s."""

    def run(arguments):
        done = subprocess.run(**arguments, stdout=subprocess.PIPE, timeout=2 * LONG_S, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    planning = command("plan", "pipeline.yaml", "--out", "plan.json")
    run(planning | {"args": planning["args"][:-4]})
    free = ("--query-port", "0", "--admin-port", "0", "--rpc-port", "0")
    words = ("plan.json", "--pipeline", "pipeline.yaml", "--image", image, *free, "--format", "json")
    yield json.loads(run(command("deploy", *words)))
    run(command("undeploy", name))


@pytest.fixture
def daemon(command, deployed, image):
    words = ("plan.json", "--pipeline", "pipeline.yaml", "--image", image)
    started = Daemon(subprocess.Popen(**command("tune", "daemon", *words, *QUICK, *FORGETFUL)))
    yield started
    ended([started])


def test_a_burst_is_met_by_containers_and_left_behind(daemon, deployed, name):
    daemon.await_ready()
    burst(deployed["predict_url"], deployed["admin_url"], daemon, pipeline=name).check()
    assert daemon.end(signal.SIGTERM) == 0
