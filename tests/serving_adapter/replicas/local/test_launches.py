"""How the processes of a deployment are started."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from inferline.domain import Hardware
from inferline.errors import InputError
from serving_adapter.machine import Accelerator, Placement
from serving_adapter.models import ModelEntry
from serving_adapter.replicas import CoreAddress, CoreOptions, ReplicaSet
from serving_adapter.replicas.local.launches import command_of, core_launch, replica_launch
from serving_adapter.replicas.local.wanted import Asked
from serving_adapter.rpc.runtime_model import read_entry
from serving_adapter.rpc.runtime_settings import read_settings

HARDWARE = Hardware(name="cpu-2", price_nano_usd_per_hour=7, cpus=2.0)
ENTRY = ModelEntry(name="rank", kind="onnx", target="m.onnx", folder=Path("/models"), options={"shape": [3]})
WANTED = ReplicaSet(
    deployment="d", stage="rank", model="d.rank", version="4", entry=ENTRY, hardware=HARDWARE, replicas=1
)
ASKED = Asked(replicas=WANTED, core=CoreAddress(host="0.0.0.0", rpc_port=7001))
FOLDER = Path("/state/d")


def asked(**more):
    return replace(ASKED, replicas=replace(WANTED, entry=replace(ENTRY, **more)))


def launch(of=ASKED, cores=(2, 3), accelerators=()):
    placement = Placement(hardware=of.replicas.hardware, cores=cores, accelerators=accelerators)
    environment = {"PATH": "/bin", "INFERLINE_ADMIN_TOKEN": "secret", "CLIPPER_MODEL_PATH": "/former"}
    return replica_launch(of, placement, "rank-0", FOLDER, environment)


def test_a_replica_is_told_all_that_it_reads():
    made = launch()
    assert made.command == (sys.executable, "-P", "-m", "serving_adapter.rpc.container")
    settings = read_settings(made.environment, {})
    assert (settings.name, settings.version, settings.host, settings.port) == ("d.rank", "4", "127.0.0.1", 7001)
    assert (settings.cpus, settings.threads, settings.metrics_port) == ((2, 3), 2, 0)
    assert (settings.ready_file, settings.folder) == (FOLDER / "ready" / "rank-0", Path("/models"))
    assert settings.model == {"onnx": "m.onnx", "device": "auto", "shape": [3]}
    assert (made.folder, made.log, made.cores) == (Path("/models"), FOLDER / "logs" / "rank-0.log", (2, 3))


def test_it_inherits_neither_secrets_nor_settings_of_others():
    environment = launch().environment
    assert environment["PATH"] == "/bin"
    assert not {"INFERLINE_ADMIN_TOKEN", "CLIPPER_MODEL_PATH"} & environment.keys()
    assert (environment["OMP_NUM_THREADS"], environment["CUDA_VISIBLE_DEVICES"]) == ("2", "")


@pytest.mark.parametrize(
    "entry",
    [
        ENTRY,
        ModelEntry(name="rank", kind="callable", target="m:f", input_type="floats", device="cpu"),
        ModelEntry(name="rank", kind="http", target="http://x/v2/models/m", options={"timeout": "3s"}),
    ],
)
def test_an_entry_arrives_as_it_is(entry):
    entry = replace(entry, folder=Path("/models"))
    settings = read_settings(launch(replace(ASKED, replicas=replace(WANTED, entry=entry))).environment, {})
    assert replace(read_entry("rank", settings.model, settings.folder), file=entry.file) == entry


def test_no_more_threads_than_cores_and_one_device_is_the_first():
    assert launch(cores=(0,)).environment["INFERLINE_THREADS"] == "1"
    gpu = Accelerator(index=3, name="Tesla K80")
    environment = launch(asked(device="cuda:1"), accelerators=(gpu,)).environment
    assert environment["CUDA_VISIBLE_DEVICES"] == "3"
    assert json.loads(environment["INFERLINE_MODEL"])["device"] == "cuda"


@pytest.mark.parametrize("command", ["python serve.py 'a b'", ["python", "serve.py", "a b"]])
def test_a_foreign_container_gets_clippers_variables(command):
    options = {"command": command, "model_path": "weights"}
    made = launch(asked(kind="container", target="image", input_type="doubles", options=options))
    assert made.command == ("python", "serve.py", "a b")
    assert (made.folder, made.says_ready) == (Path("/models"), False)
    clipper = {name: text for name, text in made.environment.items() if name.startswith("CLIPPER_")}
    assert clipper == {
        "CLIPPER_MODEL_NAME": "d.rank",
        "CLIPPER_MODEL_VERSION": "4",
        "CLIPPER_IP": "127.0.0.1",
        "CLIPPER_PORT": "7001",
        "CLIPPER_INPUT_TYPE": "doubles",
        "CLIPPER_MODEL_PATH": "/models/weights",
    }
    assert "INFERLINE_MODEL" not in made.environment


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "models.rank.command: is not set; the local target runs processes: say which"),
        ({"command": []}, "models.rank.command: [] is no command; write it like [python, serve.py]"),
        ({"command": ["a", 1]}, "models.rank.command: ['a', 1] is no command"),
        ({"command": "a 'b"}, 'models.rank.command: "a \'b" is no command'),
        ({"command": {"a": 1}}, "models.rank.command: {'a': 1} is no command"),
    ],
)
def test_a_container_without_a_command_is_refused(options, message):
    with pytest.raises(InputError) as caught:
        command_of(asked(kind="container", target="image", options=options).replicas.entry)
    assert message in str(caught.value)


def test_the_core_keeps_its_state_in_the_folder_and_the_last_option_wins():
    options = CoreOptions(query_port=1, admin_port=2, rpc_port=3, arguments=("--state", "memory://"))
    made = core_launch(options, FOLDER, {"INFERLINE_ADMIN_TOKEN": "secret"})
    assert made.command[:5] == (sys.executable, "-P", "-m", "inferline", "serve")
    told = "--state sqlite:////state/d/state.db --host 127.0.0.1 --query-port 1 --admin-port 2 --rpc-port 3"
    assert " ".join(made.command[5:]) == f"{told} --state memory://"
    assert made.environment["INFERLINE_ADMIN_TOKEN"] == "secret"
