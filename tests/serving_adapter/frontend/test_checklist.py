"""What a server has to do to pass for Clipper's, in twelve points, each over real sockets.

What is only touched here is tested through in the file that a point names.
"""

import struct
import time

import pytest

from tests.serving_adapter.frontend.raw_container import HEARTBEAT, U32, Asking, new_container, response

NO_MODELS = "No connected models found for query"
LATE = "Failed to retrieve a prediction response within the specified latency SLO"
FIRST_EXCHANGE_S = 2.0


def texts(inputs):
    return [str(each[0]) for each in inputs]


@pytest.fixture
def app(server):
    server.application()
    server.model()
    server.link()
    return server


def test_01_metrics_and_ping_answer_before_anything_is_registered(server):
    """More in test_predict.py (metrics in both forms)."""
    reply = server.query.get("/metrics")
    assert (reply.status_code, bool(reply.json())) == (200, True)
    assert isinstance(reply.json(), dict)
    reply = server.admin.get("/admin/ping")
    assert (reply.status_code, reply.text) == (200, "PONG")


def test_02_a_trailing_slash_and_a_batch_of_one(app):
    """More in test_predict.py."""
    app.container(texts)
    bare = {"query_id": 0, "output": 1.0, "default": False}
    assert app.query.post("/app/predict/", json={"input_batch": [[1.0]]}).json() == bare
    feedback = {"uid": 0, "input": [1.0], "label": 1.0}
    assert app.query.post("/app/update/", json=feedback).text == "Feedback received? 1"
    assert len(app.predict("app", input_batch=[[1.0], [2.0]]).json()["batch_predictions"]) == 2


def test_03_outputs_and_defaults_are_json_when_they_parse_as_json(server):
    """More in test_predict.py (outputs) and test_http.py (what a container may say)."""
    replies = {}
    for name, default in (("number", "0"), ("word", "DEFAULT"), ("list", "[1, 2]")):
        server.application(name, default=default)
        replies[name] = server.predict(name, input=[1.0]).json()["output"]
    assert replies == {"number": 0, "word": "DEFAULT", "list": [1, 2]}
    server.application("app")
    server.model()
    server.link()
    server.container(lambda inputs: ['{"a": 1.0}', "cat"][: len(inputs)])
    reply = server.predict("app", input_batch=[[1.0], [2.0]]).json()["batch_predictions"]
    assert [each["output"] for each in reply] == [{"a": 1.0}, "cat"]


def test_04_defaults_are_200_at_once_or_at_the_slo_and_say_why(server):
    """More in test_serving.py (as timelines)."""
    server.application(slo_micros=300_000)
    start = time.monotonic()
    reply = server.predict("app", input=[1.0])
    assert (reply.status_code, reply.json()["default_explanation"]) == (200, NO_MODELS)
    assert time.monotonic() - start < 0.25
    server.model()
    server.link()
    server.container(lambda inputs: time.sleep(0.6) or texts(inputs))
    start = time.monotonic()
    reply = server.predict("app", input=[1.0])
    assert (reply.status_code, reply.json()["default_explanation"]) == (200, LATE)
    assert 0.3 <= time.monotonic() - start < 0.55


def test_05_exact_words(app):
    """More in test_admin.py and test_predict.py, every text that is specified."""
    cause = app.predict("app", input=[1.0], version="7").json()["cause"]
    assert cause == "Requested version: 7 does not exist for model: m"
    app.application("other")
    reply = app.ask("add_model_links", app_name="other", model_names=["n"])
    assert (reply.status_code, reply.text) == (400, "No model with name 'n' exists.")
    model = {"model_name": "m", "model_version": "7"}
    for path, asked in (
        ("get_application", {"name": "none"}),
        ("get_model", model),
        ("get_container", {**model, "replica_id": 0}),
    ):
        reply = app.ask(path, **asked)
        assert (reply.status_code, reply.json()) == (200, {})


@pytest.mark.parametrize("input_type", ["floats", "doubles"])
def test_06_integer_literals_are_no_floats(server, input_type):
    """More in test_predict.py (every type and its faults)."""
    server.application(input_type=input_type)
    for body, status in (('{"input": [1]}', 400), ('{"input": [1.0]}', 200), ('{"input": [1e0]}', 200)):
        assert server.query.post("/app/predict", content=body).status_code == status


def test_07_a_stranger_is_asked_for_its_name_and_only_the_server_says_the_version(app, raw):
    """More in test_rpc.py, byte by byte."""
    container = raw(app)
    start = time.monotonic()
    container.send(HEARTBEAT)
    assert container.receive() == [b"", *map(U32, (3, 2, 1))]
    assert time.monotonic() - start < FIRST_EXCHANGE_S
    container.send(new_container())
    container.send(HEARTBEAT)
    assert container.receive() == [b"", *map(U32, (3, 2, 0))]
    app.until(lambda: app.containers() == ["m:1:0"])


def test_08_frames_are_counted_batches_are_bounded_and_outputs_keep_their_places(server, raw):
    """More in test_rpc.py; with many queries in test_predict.py."""
    server.application()
    server.model(batch_size=2)
    server.link()
    container = raw(server)
    container.register()
    request = Asking(server, input_batch=[[1.0], [2.0, 3.0], [4.0]])
    frames = container.receive()
    assert len(frames) == 1 + 6 + 2
    assert frames[5:7] == [struct.pack("<Q", 32), struct.pack("<4Q", 3, 2, 8, 16)]
    assert container.silent()  # one batch in flight
    container.send(response(0, b"a", b"b"))
    assert container.request()[0] == 1
    container.send(response(1, b"c"))
    assert [each["output"] for each in request.reply()["batch_predictions"]] == ["a", "b", "c"]


def test_09_who_is_silent_for_too_long_is_dropped(serve, raw):
    """At 1/30 of the times: 30 s of silence, looked at every 10 s. A lost batch: test_rpc.py, test_faults.py."""
    server = serve(silence_s=1.0)
    server.application()
    server.model()
    server.link()
    container = raw(server)
    container.register()
    server.until(server.containers)
    start = time.monotonic()
    server.until(lambda: not server.containers())
    assert 0.9 < time.monotonic() - start < 2.5
    assert server.predict("app", input=[1.0]).json()["default_explanation"] == NO_MODELS


def test_10_a_new_version_is_current_and_rollback_and_pins_work(app):
    """More in test_predict.py and test_serving.py."""
    app.container(lambda inputs: ["one"] * len(inputs), version="1")
    app.model(version="2")
    app.container(lambda inputs: ["two"] * len(inputs), version="2")
    outputs = [app.predict("app", input=[0.0]).json()["output"], app.predict("app", input=[0.0], version="1").json()]
    app.ask("set_model_version", model_name="m", model_version="1")
    outputs.append(app.predict("app", input=[1.0]).json()["output"])
    assert [outputs[0], outputs[1]["output"], outputs[2]] == ["two", "one", "one"]


def test_11_a_deleted_version_is_gone_at_once(app):
    """More in test_admin.py, test_predict.py and test_serving.py (with queries in flight)."""
    app.container(texts)
    app.model(version="2")
    app.ask("delete_versioned_model", model_name="m", model_version="1")
    assert app.ask("get_all_models", verbose=False).json() == ["m:2"]
    reply = app.predict("app", input=[1.0], version="1")
    assert (reply.status_code, "does not exist" in reply.json()["cause"]) == (400, True)


def test_12_a_container_may_come_before_its_model(server):
    """More in test_rpc.py."""
    server.container(texts)
    assert server.containers() == ["m:1:0"]
    server.application()
    server.model()
    server.link()
    assert server.predict("app", input=[1.0]).json()["output"] == 1.0
