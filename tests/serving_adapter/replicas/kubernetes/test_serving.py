"""A core and its replicas as Pods whose containers run: replicas are killed, and queries are answered."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import httpx
import pytest

from serving_adapter.replicas import CoreOptions, wait
from tests.serving_adapter.replicas.kubernetes.cluster import LONG_S, free_port, until

pytestmark = pytest.mark.kubernetes

QUERIES = 400


@pytest.fixture
def ports() -> CoreOptions:
    return CoreOptions(query_port=free_port(), admin_port=free_port(), rpc_port=free_port())


@pytest.fixture
def client():
    with httpx.Client(timeout=LONG_S, trust_env=False) as client:
        yield client


def test_a_killed_replica_is_replaced_and_its_queries_are_answered(
    cluster, kubelet, namespace, target, replicas, models, ports, client
):
    kubelet.folders[namespace] = models

    def tell(path, **document):
        reply = client.post(f"http://127.0.0.1:{ports.admin_port}/admin/{path}", json=document)
        assert reply.status_code == 200, reply.text
        return reply

    def predict(number):
        reply = client.post(f"http://127.0.0.1:{ports.query_port}/app/predict", json={"input": [number, 0.5]})
        return reply.json()["output"], reply.json()["default"]

    def answered(numbers):
        assert [predict(each) for each in numbers] == [(each + 0.5, False) for each in numbers]

    def core_serves():
        with suppress(httpx.ConnectError):
            return client.get(f"http://127.0.0.1:{ports.query_port}/ready").is_success

    def running():
        return {each.id for each in target.list("sums") if each.phase == "ready"}

    entry = {"target": "models:total", "input_type": "doubles"}
    wanted = replicas(2, deployment="sums", model="m", entry=entry, hardware={"cpus": 1.0})
    address = target.start_core("sums", ports)
    target.start(wanted, address)
    wait(target, wanted, LONG_S)
    until(core_serves, "the core's start")
    tell("add_app", name="app", input_type="doubles", default_output="-1.0", latency_slo_micros=int(LONG_S * 1e6))
    named = {"model_name": "m", "model_version": "1", "container_name": "-", "model_data_path": "-"}
    tell("add_model", **named, labels=[], input_type="doubles", batch_size=4)
    tell("add_model_links", app_name="app", model_names=["m"])
    until(lambda: len(tell("get_all_containers", verbose=False).json()) == 2, "both registrations")
    answered([1.0, 2.0])

    # One is killed among queries: the other one answers, and the same Pod starts it again.
    first, second = sorted(running())
    with ThreadPoolExecutor(4) as clients:
        replies = [clients.submit(predict, float(number)) for number in range(QUERIES)]
        replies[QUERIES // 4].result(LONG_S)
        os.kill(kubelet.container(first).process.pid, signal.SIGKILL)
        assert [each.result(LONG_S) for each in replies] == [(number + 0.5, False) for number in range(QUERIES)]
    returned = {(first, "ready", 1), (second, "ready", 0)}
    until(lambda: {(each.id, each.phase, each.restarts) for each in target.list("sums")} == returned, "its return")

    # A Pod is deleted, as by a node that is drained: another one takes its place.
    cluster.ask("DELETE", f"/api/v1/namespaces/{namespace}/pods/{first}")
    until(lambda: len(running()) == 2 and first not in running(), "another Pod")
    answered([3.0, 4.0])

    # The last one is killed, and comes back by itself.
    target.start(replace(wanted, replicas=1), address)
    until(lambda: len(running()) == 1, "the smaller set")
    (left,) = running()
    os.kill(kubelet.container(left).process.pid, signal.SIGKILL)
    until(lambda: not running(), "its end")
    until(lambda: running() == {left}, "its return")
    answered([5.0])
    processes = [kubelet.container(each.id).process for each in target.list("sums")]
    target.stop("sums")
    until(lambda: not cluster.ask("GET", f"/api/v1/namespaces/{namespace}/pods")["items"], "the end of all Pods")
    assert [each.poll() for each in processes] == [0]  # told to end, and did


def test_a_model_that_cannot_be_loaded_says_why(kubelet, namespace, target, replicas, models, ports):
    kubelet.folders[namespace] = models
    address = target.start_core("sums", ports)
    wanted = replicas(1, deployment="sums", entry={"target": "no_such_module:f"})
    target.start(wanted, address)
    found = until(lambda: [each for each in target.list("sums") if each.restarts and each.phase == "failed"])
    assert found[0].message.startswith("ended with exit code 3: ")
    assert "no_such_module" in found[0].message
    target.stop("sums")
