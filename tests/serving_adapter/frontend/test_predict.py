"""The query interface over real sockets, with real containers: section by section what Clipper's clients rely on."""

import base64
import json
import time

import numpy as np
import pytest

NO_MODELS = "No connected models found for query"
LATE = "Failed to retrieve a prediction response within the specified latency SLO"


def sums(inputs):
    return [str(float(np.sum(each))) for each in inputs]


@pytest.fixture
def app(server):
    """Return a server with application `app` linked to model `m`, one container that sums its input."""
    server.application()
    server.model()
    server.link()
    server.container(sums)
    return server


def test_one_input(app):
    reply = app.predict("app", input=[1.5, 2.0])
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.text == '{"query_id":0,"output":3.5,"default":false}'


def test_a_trailing_slash_and_other_keys_change_nothing(app):
    assert app.query.post("/app/predict/", json={"input": [1.0], "uid": "x"}).json()["output"] == 1.0


def test_a_batch_and_a_batch_of_one_and_of_none(app):
    reply = app.predict("app", input_batch=[[1.0], [2.0, 3.0]])
    assert reply.json() == {
        "batch_predictions": [
            {"query_id": 0, "output": 1.0, "default": False},
            {"query_id": 1, "output": 5.0, "default": False},
        ]
    }
    assert app.predict("app", input_batch=[[4.0]]).json() == {"query_id": 2, "output": 4.0, "default": False}
    assert app.predict("app", input_batch=[]).json() == {"batch_predictions": []}


def test_input_wins_over_input_batch(app):
    assert app.predict("app", input=[1.0], input_batch=[[2.0], [3.0]]).json()["output"] == 1.0


@pytest.mark.parametrize(
    ("input_type", "value", "seen"),
    [
        ("integers", [1, -2], np.array([1, -2], dtype="<i4")),
        ("floats", [0.5, 1e3], np.array([0.5, 1000.0], dtype="<f4")),
        ("doubles", [0.1, 1e300], np.array([0.1, 1e300], dtype="<f8")),
        ("bytes", base64.b64encode(b"\x00\xff").decode(), b"\x00\xff"),
        ("strings", "grüß", "grüß"),
    ],
)
def test_every_input_type_reaches_the_container(server, input_type, value, seen):
    got = []
    server.application(input_type=input_type)
    server.model(input_type=input_type)
    server.link()
    server.container(lambda inputs: got.extend(inputs) or ["ok"] * len(inputs), input_type=input_type)
    assert server.predict("app", input=value).json()["output"] == "ok"
    assert np.array_equal(got[0], seen)
    assert getattr(got[0], "dtype", None) == getattr(seen, "dtype", None)


@pytest.mark.parametrize(
    ("input_type", "body", "cause"),
    [
        ("doubles", '{"input": [1]}', "Array input of type Number is not of type double"),
        ("floats", '{"input": [1.0, 1]}', "Array input of type Number is not of type float"),
        ("floats", '{"input": [1e39]}', "Array input of type Number is not of type float"),
        ("integers", '{"input": [1.0]}', "Array input of type Number is not of type int"),
        ("integers", '{"input": [2147483648]}', "Array input of type Number is not of type int"),
        ("integers", '{"input": [true]}', "Array input of type True is not of type int"),
        ("doubles", '{"input": "x"}', "Type mismatch! JSON key input expected type Arraybut found type String"),
        ("strings", '{"input": ["x"]}', "Type mismatch! JSON key input expected type Stringbut found type Array"),
        ("doubles", '{"input_batch": [1.0]}', "Array input of type Number is not of type array"),
        ("strings", '{"input_batch": [null]}', "Array input of type Null is not of type string"),
        (
            "doubles",
            '{"input_batch": {}}',
            "Type mismatch! JSON key input_batch expected type Arraybut found type Object",
        ),
        ("doubles", '{"input": [1.0], "version": 1}', "expected type Stringbut found type Number"),
        ("doubles", "{}", "JSON object does not have required keys input or input_batch."),
        ("doubles", "", "JSON parse error: The document is empty. (offset 0)\n."),
        (
            "doubles",
            '{"input": [1.0}',
            "JSON parse error: Missing a comma or ']' after an array element. (offset 14)\n.",
        ),
        ("doubles", '{"input": [NaN]}', "JSON parse error: Invalid value. (offset 11)\n."),
        ("doubles", '{"input": [1.0]} x', "The document root must not be followed by other values. (offset 17)"),
        ("bytes", '{"input": "?"}', "not base64"),
    ],
)
def test_errors_are_400_with_clippers_words(server, input_type, body, cause):
    server.application(input_type=input_type)
    reply = server.query.post("/app/predict", content=body)
    assert reply.status_code == 400
    assert reply.json()["error"] == "Json error"
    assert cause in reply.json()["cause"]


def test_a_body_that_is_no_object(server):
    server.application()
    reply = server.query.post("/app/predict", content="[1.0]")
    assert (reply.status_code, reply.json()) == (400, {"error": "Json error", "cause": "JSON schema invalid"})


@pytest.mark.parametrize(
    ("output", "embedded"),
    [
        ("1.0", "1.0"),
        ("[1, 2]", "[1, 2]"),
        ('{"a": "b"}', '{"a": "b"}'),
        ("cat", '"cat"'),
        ("NaN", '"NaN"'),
        ('"', '"\\""'),
    ],
)
def test_outputs_are_embedded_when_they_are_json(server, output, embedded):
    server.application()
    server.model()
    server.link()
    server.container(lambda inputs: [output] * len(inputs))
    assert f'"output":{embedded},' in server.predict("app", input=[1.0]).text


def test_default_at_once_without_link_without_model_and_without_replica(server):
    server.application(default="0")
    expected = {"output": 0, "default": True, "default_explanation": NO_MODELS}
    assert server.predict("app", input=[1.0]).json() == {"query_id": 0, **expected}
    server.model()
    server.link()
    start = time.monotonic()
    assert server.predict("app", input=[1.0]).json() == {"query_id": 1, **expected}
    assert time.monotonic() - start < 4  # the SLO is 5 s


def test_default_at_the_slo_and_the_late_answer_fills_the_cache(server):
    server.application(default="DEFAULT", slo_micros=200_000)
    server.model()
    server.link()
    server.container(lambda inputs: time.sleep(0.6) or sums(inputs))
    start = time.monotonic()
    reply = server.predict("app", input=[1.0]).json()
    assert 0.2 <= time.monotonic() - start < 0.55
    assert reply == {"query_id": 0, "output": "DEFAULT", "default": True, "default_explanation": LATE}
    server.until(lambda: not server.predict("app", input=[1.0]).json()["default"])


def test_versions_switch_roll_back_and_pin(server):
    server.application()
    server.model(version="1")
    server.link()
    server.container(lambda inputs: ["one"] * len(inputs), version="1")
    server.container(lambda inputs: ["two"] * len(inputs), version="2")  # before it is registered
    answers = [server.predict("app", input=[0.0]).json()["output"]]
    server.model(version="2")
    answers.append(server.predict("app", input=[1.0]).json()["output"])
    answers.append(server.predict("app", input=[2.0], version="1").json()["output"])
    server.ask("set_model_version", model_name="m", model_version="1")
    answers.append(server.predict("app", input=[3.0]).json()["output"])
    assert answers == ["one", "two", "one", "one"]
    reply = server.predict("app", input=[1.0], version="3")
    assert reply.status_code == 400
    assert reply.json() == {
        "error": "Query processing error",
        "cause": "Requested version: 3 does not exist for model: m",
    }


def test_a_deleted_version_answers_no_more_and_is_forgotten_by_the_cache(app):
    assert not app.predict("app", input=[1.0]).json()["default"]
    app.ask("delete_versioned_model", model_name="m", model_version="1")
    assert app.ask("get_all_models", verbose=False).json() == []
    assert app.predict("app", input=[1.0]).json()["default_explanation"] == NO_MODELS


def test_update(app):
    reply = app.query.post("/app/update", content='{"uid": 3, "input": [1.0], "label": 1.0}')
    assert (reply.status_code, reply.text) == (200, "Feedback received? 1")
    for body, part in (
        ('{"uid": "3", "input": [1.0], "label": 1.0}', "expected type Numberbut found type String"),
        ('{"uid": 3, "input": [1.0], "label": 1}', "JSON key label"),
        ('{"uid": 3, "label": 1.0}', "JSON object does not have required key: input"),
    ):
        reply = app.query.post("/app/update/", content=body)
        assert reply.status_code == 400
        assert reply.text.startswith("Error parsing JSON: ")
        assert part in reply.text


def test_identical_queries_in_flight_are_predicted_once_and_later_ones_from_the_cache(server):
    seen = []
    server.application()
    server.model(batch_size=4)
    server.link()
    server.container(lambda inputs: time.sleep(0.1) or seen.extend(inputs) or sums(inputs))
    reply = server.predict("app", input_batch=[[1.0]] * 5).json()
    assert [each["output"] for each in reply["batch_predictions"]] == [1.0] * 5
    assert server.predict("app", input=[1.0]).json()["output"] == 1.0
    assert len(seen) == 1


def test_a_fixed_batch_size_is_honoured(server):
    sizes = []
    server.application()
    server.model(batch_size=9)
    server.link()
    server.container(lambda inputs: time.sleep(0.02) or sizes.append(len(inputs)) or sums(inputs))
    server.predict("app", input_batch=[[float(i)] for i in range(450)])
    assert max(sizes) == 9
    assert sum(size for size in sizes if size == 9) >= 0.7 * 450


def test_metrics_in_both_forms(app):
    app.predict("app", input=[1.0])
    clipper = app.query.get("/metrics").json()
    names = {name for group in clipper.values() for each in group for name in each}
    assert {
        "app:app:prediction_latency",
        "app:app:prediction_throughput",
        "app:app:num_predictions",
        "app:app:default_prediction_ratio",
        "model:m:1:prediction_latency",
        "model:m:1:prediction_throughput",
        "model:m:1:num_predictions",
        "model:m:1:batch_size",
        "model:m:1:cache_hit_ratio",
        "internal:aggregate_model_throughput",
        "internal:rpc_request_queueing_delay",
        "internal:prediction_cache_lookups",
        "internal:prediction_cache_hit_ratio",
        "internal:aggregate_num_predictions",
    } <= names
    assert all(type(leaf) is str for group in clipper.values() for each in group for leaf in _leaves(each))
    text = app.query.get("/metrics", headers={"accept": "text/plain;version=0.0.4"}).text
    assert 'inferline_application_latency_seconds_count{application="app"} 1.0' in text
    assert 'inferline_stage_replicas{model="m",version="1"} 1.0' in text


def _leaves(value):
    if isinstance(value, dict):
        for each in value.values():
            yield from _leaves(each)
    else:
        yield value


def test_metrics_are_there_before_anything_is_registered(server):
    reply = server.query.get("/metrics")
    assert reply.status_code == 200
    assert json.loads(reply.text)
    assert server.admin.get("/admin/ping").text == "PONG"
    assert server.query.get("/health").status_code == 200
    assert server.query.get("/ready").status_code == 200


def test_unknown_paths_and_methods_are_404(app):
    assert app.query.get("/app/predict").status_code == 404
    assert app.query.post("/other/predict", json={"input": [1.0]}).status_code == 404
    assert app.query.put("/app/predict", json={"input": [1.0]}).status_code == 404
    assert app.admin.get("/admin/metrics").status_code == 404
