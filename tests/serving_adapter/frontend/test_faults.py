"""What breaks around the server: itself, Redis, containers as processes; what survives, and how soon."""

import json
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest
import redis

from serving_adapter.frontend.http import Limits
from serving_adapter.rpc.container import Container

ECHO = """
import os, sys, time
from serving_adapter.rpc.container import Container

class Model:
    def predict(self, inputs):
        if inputs[0][0] < 0:
            print("busy", flush=True)
            time.sleep(60)
        return [str(each[0]) for each in inputs]

Container(
    model=Model(), name="m", version="1", input_type="doubles", address=f"tcp://127.0.0.1:{sys.argv[1]}", poll_s=0.02
).serve()
"""


def echo(inputs):
    return [str(each[0]) for each in inputs]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ready(server, slo_micros=5_000_000, **model):
    server.application(slo_micros=slo_micros)
    server.model(**model)
    server.link()


def answers(server, value):
    """Whether a query is answered by a model."""
    reply = server.predict("app", input=[value])
    return reply.status_code == 200 and reply.json()["output"] == value


@pytest.fixture
def container_process(request):
    """Return what starts a model container as a process of its own."""

    def start(server):
        before = len(server.containers())
        process = subprocess.Popen([sys.executable, "-c", ECHO, str(server.rpc_port)], stdout=subprocess.PIPE)
        request.addfinalizer(process.communicate)
        request.addfinalizer(process.kill)
        server.until(lambda: len(server.containers()) > before)
        return process

    return start


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_killed_server_comes_back_with_its_registrations_and_its_containers(serve_process, kind, request):
    state = "sqlite:///state.db" if kind == "sqlite" else f"redis://127.0.0.1:{request.getfixturevalue('redis_port')}"
    ports = ("--rpc-port", str(free_port()))
    server = serve_process("--state", state, *ports)
    ready(server)
    server.application("learning", policy="Exp3", queue_order="deadline")
    server.link("learning", "m")
    server.container(echo, heartbeat_s=0.2)
    server.container(echo, heartbeat_s=0.2)
    assert answers(server, 1.0)
    described = server.ask("get_all_applications", verbose=True).json()
    server.process.kill()
    server.process.wait()

    start = time.monotonic()
    again = serve_process("--state", state, *ports)
    again.until(lambda: answers(again, 2.0))
    again.until(lambda: 'inferline_stage_replicas{model="m",version="1"} 2.0' in _prometheus(again))
    assert time.monotonic() - start < 10
    assert sorted(again.containers()) == ["m:1:0", "m:1:1"]
    assert again.ask("get_all_applications", verbose=True).json() == described
    assert again.ask("get_model", model_name="m", model_version="1").json()["is_current_version"]
    again.container(echo)  # not taken for one of those of the former process
    assert "m:1:2" in again.containers()


def test_what_was_learnt_is_kept(serve_process, tmp_path):
    server = serve_process("--state", "sqlite:///state.db")
    server.application("learning", policy="Exp3")
    server.model()
    server.link("learning")
    server.container(echo)
    for uid in range(50):
        reply = server.query.post("/learning/update", json={"uid": uid, "input": [1.0], "label": 0.5})
        assert reply.text == "Feedback received? 1"
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(10) == 0
    with closing(sqlite3.connect(tmp_path / "state.db")) as database:
        rows = database.execute("SELECT uid, state FROM selections WHERE application = 'learning'").fetchall()
    assert {uid for uid, _ in rows} == set(range(50))
    assert all(json.loads(state)["weights"] == {"m": 1.0} for _, state in rows)


def test_records_of_replicas_that_a_killed_server_left_are_forgotten(serve_process):
    server = serve_process("--state", "sqlite:///state.db")
    ready(server)
    server.container(echo, heartbeat_s=60)
    server.process.kill()
    server.process.wait()
    again = serve_process("--state", "sqlite:///state.db")
    assert again.containers() == []
    assert again.ask("get_all_models", verbose=False).json() == ["m:1"]


def test_on_sigterm_queries_in_flight_are_answered_and_new_ones_are_told_to_go(serve_process):
    server = serve_process("--state", "memory://", "--drain", "10s")
    ready(server)
    release = threading.Event()
    seen = threading.Event()
    server.container(lambda inputs: (seen.set(), release.wait(10)) and echo(inputs))
    waiting, idle = server.wire(), server.wire()
    waiting.post("/app/predict", b'{"input": [1.0]}')
    assert seen.wait(5)
    server.process.send_signal(signal.SIGTERM)
    server.until(lambda: server.query.get("/ready").status_code == 503)
    idle.post("/app/predict", b'{"input": [2.0]}')
    status, headers, _ = idle.reply()
    assert (status, headers["connection"]) == (503, "close")
    assert idle.is_closed(5)
    assert server.predict("app", input=[2.0]).status_code == 503
    release.set()
    start = time.monotonic()
    assert waiting.reply()[2] == b'{"query_id":0,"output":1.0,"default":false}'
    assert server.process.wait(10) == 0
    assert time.monotonic() - start < 5


def test_a_query_that_nobody_answers_ends_with_the_drain_at_the_latest(serve_process, container_process):
    server = serve_process("--state", "memory://", "--drain", "1s")
    ready(server, slo_micros=60_000_000)
    container = container_process(server)
    wire = server.wire()
    wire.post("/app/predict", b'{"input": [-1.0]}')
    assert container.stdout.readline() == b"busy\n"
    start = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    status, headers, _ = wire.reply()
    assert (status, headers["connection"]) == (503, "close")
    assert server.process.wait(10) == 0
    assert time.monotonic() - start < 4


def test_a_second_signal_ends_it_at_once(serve_process, container_process):
    server = serve_process("--state", "memory://", "--drain", "60s")
    ready(server, slo_micros=60_000_000)
    container = container_process(server)
    server.wire().post("/app/predict", b'{"input": [-1.0]}')
    assert container.stdout.readline() == b"busy\n"
    server.process.send_signal(signal.SIGTERM)
    server.until(lambda: server.query.get("/ready").status_code == 503)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(5) == -signal.SIGTERM


def test_a_container_that_is_killed_in_the_middle_of_a_batch(server, container_process):
    ready(server)
    dying = container_process(server)
    replies = []
    asking = threading.Thread(target=lambda: replies.append(server.predict("app", input=[-1.0]).json()))
    asking.start()
    assert dying.stdout.readline() == b"busy\n"
    server.container(echo)
    start = time.monotonic()
    dying.kill()
    asking.join(10)
    assert replies[0]["output"] == -1.0
    assert time.monotonic() - start < 2
    assert server.containers() == ["m:1:1"]


def test_a_container_that_hangs_costs_its_batch_the_slo_and_itself_its_place(serve):
    server = serve(silence_s=1.5)
    ready(server, slo_micros=300_000, batch_size=1)
    stuck = threading.Event()
    server.container(lambda inputs: stuck.wait(10) and echo(inputs), heartbeat_s=0.2)
    start = time.monotonic()
    reply = server.predict("app", input=[1.0]).json()
    assert 0.3 <= time.monotonic() - start < 1.4
    assert reply["default"]
    assert server.containers() == ["m:1:0"]
    server.until(lambda: server.containers() == [])
    assert 1.5 <= time.monotonic() - start < 4
    assert server.predict("app", input=[2.0]).json()["default_explanation"] == "No connected models found for query"
    stuck.set()
    server.until(lambda: server.containers() == ["m:1:1"])  # it says something again, and is asked who it is
    assert answers(server, 3.0)


@pytest.fixture
def lasting_redis(start_redis, tmp_path):
    """Return what starts a Redis on one port and one file, again and again."""
    port = free_port()

    def start():
        return start_redis("--appendonly", "yes", "--dir", str(tmp_path), port=port)[0]

    return port, start


def test_redis_goes_and_comes_back(serve, lasting_redis):
    port, start = lasting_redis
    process = start()
    server = serve(state=f"redis://127.0.0.1:{port}")
    ready(server)
    server.application("learning", policy="Exp3")
    server.link("learning", "m")
    server.container(echo)
    process.kill()
    process.wait()

    assert all(answers(server, float(i)) for i in range(20))
    assert server.predict("learning", input=[1.5]).json()["output"] == 1.5
    update = '{"uid": 1, "input": [1.0], "label": 0.5}'
    assert server.query.post("/learning/update", content=update).text == "Feedback received? 0"
    for path, document in (("get_all_models", {"verbose": False}), ("delete_app", {"name": "app"})):
        reply = server.ask(path, **document)
        assert (reply.status_code, reply.headers["content-type"]) == (503, "application/json")
        assert "Redis at 127.0.0.1" in reply.text
    threading.Thread(target=_container(server).serve, daemon=True).start()  # registers while nobody can record it
    server.until(lambda: 'inferline_stage_replicas{model="m",version="1"} 2.0' in _prometheus(server))

    start()
    server.until(lambda: server.ask("get_all_models", verbose=False).status_code == 200)
    server.until(lambda: sorted(server.containers()) == ["m:1:0", "m:1:1"])
    server.until(lambda: server.query.post("/learning/update", content=update).text == "Feedback received? 1")
    server.application("new")
    with redis.Redis(port=port, db=5) as applications:
        applications.hset("foreign", mapping=applications.hgetall("new"))
    server.until(lambda: server.predict("foreign", input=[1.0]).status_code == 200)


def _container(server):
    class Model:
        def predict(self, inputs):
            return echo(inputs)

    address = f"tcp://127.0.0.1:{server.rpc_port}"
    container = Container(model=Model(), name="m", version="1", input_type="doubles", address=address, poll_s=0.02)
    server.stack.callback(container.stop.set)
    return container


def _prometheus(server):
    return server.query.get("/metrics", headers={"accept": "text/plain"}).text


def test_redis_hangs(serve, lasting_redis):
    port, start = lasting_redis
    process = start()
    server = serve(state=f"redis://127.0.0.1:{port}")
    ready(server)
    server.application("learning", policy="Exp3")
    server.link("learning", "m")
    server.container(echo)
    process.send_signal(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        assert all(answers(server, float(i)) for i in range(20))
        assert time.monotonic() - begun < 1.5
        begun = time.monotonic()
        replies = []
        asking = [
            threading.Thread(target=lambda: replies.append(server.ask("get_all_models", verbose=False)))
            for _ in range(5)
        ]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        assert {reply.status_code for reply in replies} == {503}
        assert replies[0].text.endswith("no answer within 2 s")
        assert time.monotonic() - begun < 4  # they do not wait for one another
        # The first has waited for Redis; nobody else does for a while.
        server.query.post("/learning/predict", json={"input": [1.0], "uid": 1})
        begun = time.monotonic()
        for uid in range(2, 5):
            server.query.post("/learning/predict", json={"input": [1.0], "uid": uid})
        assert time.monotonic() - begun < 1
    finally:
        process.send_signal(signal.SIGCONT)
    server.until(lambda: server.ask("get_all_models", verbose=False).status_code == 200)
    assert answers(server, 30.0)


def test_two_servers_on_one_redis_see_each_other(serve, redis_port):
    first, second = (serve(state=f"redis://127.0.0.1:{redis_port}") for _ in range(2))
    ready(first)
    second.until(lambda: second.predict("app", input=[1.0]).status_code == 200)
    second.container(echo)
    second.until(lambda: answers(second, 1.0))
    assert not answers(first, 1.0)  # each has its own containers
    second.model(version="2")
    first.until(lambda: first.predict("app", input=[1.0], version="2").status_code == 200)
    second.until(lambda: not answers(second, 2.0))  # of that version it has none
    first.ask("set_model_version", model_name="m", model_version="1")
    second.until(lambda: answers(second, 3.0))
    first.ask("delete_model_links", app_name="app", model_names=["m"])
    second.until(lambda: not answers(second, 4.0))
    second.ask("delete_app", name="app")
    first.until(lambda: first.predict("app", input=[1.0]).status_code == 404)


def test_what_others_write_into_redis_does_not_stop_the_server(serve, redis_port):
    server = serve(state=f"redis://127.0.0.1:{redis_port}")
    ready(server)
    server.container(echo)
    with redis.Redis(port=redis_port, db=5) as applications:
        fields = {**applications.hgetall("app"), b"policy": b"Unheard", b"latency_slo_micros": b"9" * 18}
        applications.hset("odd", mapping=fields)
        applications.hset("broken", mapping={"input_type": "doubles"})
    server.until(lambda: server.predict("odd", input=[1.0]).status_code == 400)
    refused = {
        "error": "Query processing error",
        "cause": "No selection state found for query with user_id: 0 and label: odd",
    }
    assert server.predict("odd", input=[1.0]).json() == refused
    update = '{"uid": 1, "input": [1.0], "label": 0.5}'
    assert server.query.post("/odd/update", content=update).text == "Feedback received? 0"
    with redis.Redis(port=redis_port, db=5) as applications:
        applications.hset("odd", "policy", "Exp3")
    with redis.Redis(port=redis_port, db=7) as links:
        links.sadd("odd", "m", "gone")
    server.until(lambda: server.predict("odd", input=[2.0]).json().get("output") == 2.0)
    assert answers(server, 3.0)


def test_a_server_takes_no_more_than_its_queue(serve):
    server = serve(limits=Limits(queued=50))
    ready(server, batch_size=1)
    release, seen = threading.Event(), threading.Event()
    server.container(lambda inputs: (seen.set(), release.wait(10)) and echo(inputs))
    first, waiting = server.wire(), server.wire()
    first.post("/app/predict", b'{"input": [0.0]}')
    assert seen.wait(5)
    waiting.post("/app/predict", json.dumps({"input_batch": [[float(i)] for i in range(1, 51)]}).encode())
    server.until(lambda: 'queue_length{model="m",version="1"} 50' in _prometheus(server))
    for _ in range(9):
        refused = server.predict("app", input=[99.0])
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    release.set()
    assert json.loads(first.reply()[2])["output"] == 0
    replies = json.loads(waiting.reply()[2])["batch_predictions"]
    assert [each["output"] for each in replies] == list(range(1, 51))
    assert 'inferline_stage_dropped_total{model="m",reason="full",version="1"} 9.0' in _prometheus(server)
