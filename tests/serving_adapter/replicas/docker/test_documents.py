"""What the engine is asked to make, said to Docker and to Podman."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferline.domain import Hardware
from inferline.errors import InputError
from serving_adapter.models import ModelEntry
from serving_adapter.replicas import CoreAddress, ReplicaSet, SetKey
from serving_adapter.replicas.docker import DockerOptions, labels
from serving_adapter.replicas.docker.documents import core_container, replica_container
from serving_adapter.replicas.docker.placing import Place, place, place_labels, read_place

GPU = Hardware(name="l4", price_nano_usd_per_hour=0, cpus=3.5, accelerator="nvidia-l4", accelerators=2)

ANYWHERE = Place()


def a_set(**more) -> ReplicaSet:
    entry = ModelEntry(name="nmt", kind="onnx", target="nmt.onnx", device="cuda:1", options={"shape": [3]})
    usual = {
        "deployment": "social",
        "stage": "translate",
        "model": "social.translate",
        "version": "2",
        "entry": entry,
        "hardware": GPU,
        "replicas": 1,
        "plan": "cafe",
    }
    return ReplicaSet(**usual | more)


def made(wanted: ReplicaSet, options: DockerOptions, chosen: Place = ANYWHERE, **more):
    said = {"name": "n", "core": ("10.0.0.5", 7000), "runtime": None, "cdi": False}
    return replica_container(wanted, options, chosen=chosen, **said | more)


def test_a_replica_of_ours():
    container = made(a_set(), DockerOptions(memory_bytes={"l4": 2**30}), runtime="runsc")
    assert json.loads(container["environment"].pop("INFERLINE_MODEL")) == {
        "onnx": "nmt.onnx",
        "device": "cuda",  # the second one out there, the first one in here
        "shape": [3],
    }
    assert container == {
        "image": "localhost/inferline:latest",
        "command": ["/bin/sh", "-c", "rm -f /tmp/inferline-ready; exec inferline-container"],
        "name": "n",
        "labels": {
            "inferline.deployment": "social",
            "inferline.role": "replica",
            "inferline.stage": "translate",
            "inferline.version": "2",
            "inferline.hardware": "l4",
            "inferline.plan": "cafe",
            "inferline.ready-file": "/tmp/inferline-ready",
        },
        "environment": {
            "CLIPPER_MODEL_NAME": "social.translate",
            "CLIPPER_MODEL_VERSION": "2",
            "CLIPPER_IP": "10.0.0.5",
            "CLIPPER_PORT": "7000",
            "INFERLINE_FOLDER": "/pipeline",
            "INFERLINE_THREADS": "3",
            "INFERLINE_READY_FILE": "/tmp/inferline-ready",
            "INFERLINE_METRICS_PORT": "0",
        },
        "network_mode": "host",
        "restart_policy": {"Name": "always"},
        "security_opt": ["no-new-privileges"],
        "cap_drop": ["ALL"],
        "nano_cpus": 3_500_000_000,
        "mem_limit": 2**30,
        "device_requests": [{"capabilities": [["gpu"]], "count": 2}],
        "runtime": "runsc",
    }


def test_a_replica_with_a_place_in_a_network():
    container = made(a_set(), DockerOptions(network="models"), Place(cores=(2, 3), accelerators=("0", "1")))
    assert (container["cpuset_cpus"], container["network_mode"]) == ("2,3", "models")
    assert "nano_cpus" not in container
    assert container["device_requests"] == [{"capabilities": [["gpu"]], "device_ids": ["0", "1"]}]
    assert read_place(container["labels"]) == Place(cores=(2, 3), accelerators=("0", "1"))
    assert container["environment"]["INFERLINE_METRICS_HOST"] == "0.0.0.0"


@pytest.mark.parametrize(("given", "ids"), [((), ("0", "1")), (("GPU-3f", "GPU-9a"), ("GPU-3f", "GPU-9a"))])
def test_podman_knows_accelerators_by_another_name(given, ids):
    container = made(a_set(), DockerOptions(), Place(accelerators=given), cdi=True)
    assert container["device_requests"] == [
        {"driver": "cdi", "device_ids": [f"nvidia.com/gpu={each}" for each in ids]}
    ]


def test_a_foreign_container_is_its_own_image_and_hears_clippers_variables_only():
    entry = ModelEntry(
        name="r", kind="container", target="ranker:3", input_type="strings", options={"command": "python serve.py"}
    )
    plain = Hardware(name="cpu-1", price_nano_usd_per_hour=0)
    container = made(a_set(entry=entry, hardware=plain), DockerOptions())
    assert (container["image"], container["command"]) == ("ranker:3", None)
    assert container["environment"] == {
        "CLIPPER_MODEL_NAME": "social.translate",
        "CLIPPER_MODEL_VERSION": "2",
        "CLIPPER_IP": "10.0.0.5",
        "CLIPPER_PORT": "7000",
        "CLIPPER_INPUT_TYPE": "strings",
    }
    assert container["labels"]["inferline.ready-file"] == "/model_is_ready.check"
    assert "cap_drop" not in container
    assert "device_requests" not in container


def test_the_core_on_the_machines_network_and_in_one_of_its_own():
    at = CoreAddress(host="127.0.0.1", query_port=8001, admin_port=8002, rpc_port=8003)
    arguments = ("--order", "deadline")
    shared = core_container("social", DockerOptions(), at, arguments)
    assert shared["command"][2:-2] == [
        *("--host", "127.0.0.1", "--query-port", "8001", "--admin-port", "8002", "--rpc-port", "8003")
    ]
    assert shared["ports"] == {}
    alone = core_container("social", DockerOptions(network="models"), at, arguments)
    assert alone["command"][2:-2] == [
        *("--host", "0.0.0.0", "--query-port", "1337", "--admin-port", "1338", "--rpc-port", "7000")
    ]
    assert alone["ports"] == {
        "1337/tcp": ("127.0.0.1", 8001),
        "1338/tcp": ("127.0.0.1", 8002),
        "7000/tcp": ("127.0.0.1", 8003),
    }
    assert alone["command"][-2:] == ["--order", "deadline"]
    assert labels.read_core(alone["labels"]) == at


@given(*(st.text(max_size=40) for _ in range(4)))
def test_names_are_what_engines_take_and_tell_sets_apart(deployment, stage, version, other):
    wanted = a_set(deployment=deployment, stage=stage, version=version)
    name = labels.replica_name(wanted, 12)
    for each in (name, labels.core_name(deployment), labels.stopping_name(name, "0123456789abcdef")):
        assert each.isascii()
        assert all(part.isalnum() or part in "_.-" for part in each)
        assert each[0].isalnum()
    assert not labels.is_stopping(name)
    assert labels.is_stopping(labels.stopping_name(name, "0123456789abcdef"))
    assert labels.read_key(labels.replica_labels(wanted)) == SetKey(stage, version, "l4")
    if other != version:
        assert labels.replica_name(replace(wanted, version=other), 12) != name


@given(st.integers(1, 6), st.integers(0, 12), st.floats(0.1, 6))
def test_replicas_are_spread_evenly(cores, replicas, cpus):
    options = DockerOptions(cores=tuple(range(cores)))
    wanted = a_set(hardware=Hardware(name="h", price_nano_usd_per_hour=0, cpus=cpus))
    beside: list[Place] = []
    for _ in range(replicas):
        try:
            beside.append(place(wanted, options, beside))
        except InputError:
            assert cpus > cores
            return
    for each in beside:
        assert len(set(each.cores)) == len(each.cores) >= cpus
        assert read_place(place_labels(each)) == each
    uses = [sum(core in each.cores for each in beside) for core in range(cores)]
    assert max(uses) - min(uses) <= 1


def test_more_accelerators_than_may_be_used():
    with pytest.raises(
        InputError, match="2 accelerators for hardware 'l4' are needed, and only 1 may be used: GPU-3f"
    ):
        place(a_set(), DockerOptions(accelerators=("GPU-3f",)), [])
