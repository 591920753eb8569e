"""Models behind a real HTTP server on this machine, which speaks the Open Inference Protocol, version 2."""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from inferline.errors import InputError, OutsideError
from serving_adapter.models import load_model


class Server(ThreadingHTTPServer):
    """Models by name: their metadata, and a function from named arrays to named arrays; or a raw answer."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.models = {}
        self.raw = {}
        self.requests = []
        self.release = threading.Event()

    def url(self, name):
        return f"http://127.0.0.1:{self.server_port}/v2/models/{name}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(lambda name, model: {"name": name, "versions": ["1"], "platform": "numpy", **model[0]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)
        self.answer(lambda name, model: {"model_name": name, "outputs": infer(model, body)}, suffix="/infer")

    def answer(self, make, suffix=""):
        path = self.path.removeprefix("/v2/models/").removesuffix(suffix)
        if self.path in self.server.raw:
            status, body = self.server.raw[self.path]
            if status is None:
                self.server.release.wait(30)
                self.close_connection = True
                return
        elif path in self.server.models:
            status, body = 200, json.dumps(make(path, self.server.models[path])).encode()
        else:
            status, body = 404, json.dumps({"error": f"no model {path}"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Say nothing."""


NUMPY = {"FP32": "f4", "INT64": "i8", "BYTES": "O", "UINT8": "u1"}


def infer(model, body):
    """Check the request against the metadata, as the protocol has it, and run the model."""
    metadata, function = model
    declared = {each["name"]: each for each in metadata.get("inputs", [])}
    arrays = {}
    for tensor in body["inputs"]:
        assert tensor.keys() == {"name", "shape", "datatype", "data"}
        assert len(tensor["data"]) == np.prod(tensor["shape"])
        if declared:
            of = declared[tensor["name"]]
            assert tensor["datatype"] == of["datatype"]
            assert all(want in {-1, got} for want, got in zip(of["shape"], tensor["shape"], strict=True))
        array = np.array(tensor["data"], NUMPY[tensor["datatype"]])
        arrays[tensor["name"]] = array.reshape(tensor["shape"])
    kinds = {np.dtype(code): name for name, code in NUMPY.items()}
    return [
        {"name": name, "shape": list(array.shape), "datatype": kinds[array.dtype], "data": array.flatten().tolist()}
        for name, array in function(**arrays).items()
    ]


def tensor(name, datatype, *shape):
    return {"name": name, "datatype": datatype, "shape": list(shape)}


@pytest.fixture
def server():
    with Server() as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        serving.models["double"] = ({"inputs": [tensor("x", "FP32", -1, 2)]}, lambda x: {"y": 2 * x})
        yield serving
        serving.release.set()
        serving.shutdown()
        thread.join()


@pytest.fixture
def load(server, entry):
    """Return what loads a model of the server by name; connections are closed in the end."""
    opened = []

    def connect(name, **more):
        opened.append(load_model(entry("http", server.url(name), **more), 1))
        return opened[-1]

    yield connect
    for model in opened:
        model.client.close()


def shown(outputs):
    return [output.tolist() for output in outputs]


def test_batches(server, load):
    model = load("double")
    assert shown(model.predict([[1, 2.5]])) == [[2, 5]]
    assert shown(model.predict([[1, 2], np.array([3, 4], "<f4")])) == [[2, 4], [6, 8]]
    assert server.requests[1] == {"inputs": [tensor("x", "FP32", 2, 2) | {"data": [1, 2, 3, 4]}]}
    with pytest.raises(ValueError, match=r"expects float32 of shape \(2\) for each query; got shape \(3\)$"):
        model.predict([[1, 2, 3]])


def test_trailing_slash_of_the_url(server, load):
    assert shown(load("double/").predict([[1, 2]])) == [[2, 4]]


def test_text(server, load):
    server.models["upper"] = (
        {"inputs": [tensor("t", "BYTES", -1)]},
        lambda t: {"u": np.array([each.upper() for each in t], "O")},
    )
    assert load("upper").predict(["a", "ß"]) == ["A", "SS"]
    assert server.requests == [{"inputs": [tensor("t", "BYTES", 2) | {"data": ["a", "ß"]}]}]


def test_several_inputs_and_outputs_go_by_name(server, load):
    server.models["both"] = (
        {"inputs": [tensor("a", "INT64", -1, -1), tensor("b", "UINT8", -1)]},
        lambda a, b: {"total": a.sum(1), "same": b},
    )
    outputs = load("both").predict([{"a": [1, 2], "b": 3}, {"a": [4], "b": 5}])
    assert outputs == [{"total": 3, "same": 3}, {"total": 4, "same": 5}]
    assert server.requests[0]["inputs"][0]["data"] == [1, 2, 4, 0]


def test_first_dimension_of_one_is_asked_once_per_input(server, load):
    server.models["one"] = ({"inputs": [tensor("x", "FP32", 1, 2)]}, lambda x: {"y": -x})
    assert shown(load("one").predict([[1, 2], [3, 4]])) == [[-1, -2], [-3, -4]]
    assert [request["inputs"][0]["shape"] for request in server.requests] == [[1, 2], [1, 2]]


def test_options_where_there_are_no_metadata(server, load):
    server.models["bare"] = ({}, lambda x: {"y": x.sum((1, 2))})
    options = {"input_name": "x", "datatype": "INT64", "shape": [2, -1]}
    assert load("bare", **options).predict([[1, 2, 3, 4], [0, 0, 0, 1]]) == [10, 1]
    assert server.requests[0]["inputs"][0]["shape"] == [2, 2, 2]
    load("bare", input_name="x", input_type="floats", shape=[1, 1]).predict([np.array([1], "<f4")])
    assert server.requests[1]["inputs"][0]["datatype"] == "FP32"
    server.raw["/v2/models/bare"] = (404, b"")
    assert load("bare", **options).predict([[1, 2]]) == [3]


def test_output_may_be_nested(server, load):
    answer = {"outputs": [tensor("y", "FP32", 2, 2) | {"data": [[0.1, 1], [2, 3]]}]}
    server.raw["/v2/models/double/infer"] = (200, json.dumps(answer).encode())
    assert shown(load("double").predict([[1, 2], [3, 4]])) == [[0.1, 1], [2, 3]]


@pytest.mark.parametrize(
    ("metadata", "options", "where", "message"),
    [
        (
            None,
            {},
            "http",
            "no such model, or no metadata of it; options input_name, datatype and shape say",
        ),
        (
            {},
            {},
            "http",
            "the metadata name no inputs; options input_name, datatype and shape say what it",
        ),
        (
            {"inputs": [tensor("x", "BF16", -1)]},
            {},
            "http",
            "input 'x' is BF16; accepted are BYTES, BOOL, FP16",
        ),
        (
            {"inputs": [tensor("x", "FP32", 8)]},
            {},
            "http",
            "input 'x' takes batches of exactly 8; its first",
        ),
        ({}, {"input_name": "x"}, "datatype", "expects one of BYTES, BOOL, FP16, FP32"),
        ({}, {"timeout": "soon"}, "timeout", "'soon' is not a duration; write a number with ns, us, ms, s, min or h"),
        ({}, {"timeout": "0s"}, "timeout", "is 0; a timeout is longer"),
    ],
)
def test_faults(server, entry, metadata, options, where, message):
    if metadata is not None:
        server.models["m"] = (metadata, None)
    with pytest.raises(InputError) as caught:
        load_model(entry("http", server.url("m"), **options), 1)
    tried = f"GET {server.url('m')}: " if message.startswith(("no such", "the metadata")) else ""
    assert str(caught.value).startswith(f"pipeline.yaml: models.m.{where}: {tried}{message}")


def test_url_that_is_none(entry):
    with pytest.raises(InputError, match=r"models.m.http: 'http://h:x' is no URL: Invalid port: 'x'$"):
        load_model(entry("http", "http://h:x"), 1)


def test_server_that_is_not_there(server, entry):
    port = server.server_port
    url = server.url("double")
    server.server_close()
    with pytest.raises(OutsideError, match=rf"^model 'm': GET http://127.0.0.1:{port}/v2/models/double: .*refused"):
        load_model(entry("http", url), 1)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((500, b'{"error": "broken"}'), 'status 500: {"error": "broken"}'),
        ((400, b"no"), "status 400: no"),
        ((200, b"<html>"), "its answer is not JSON (JSON is malformed: invalid character (byte 0)): <html>"),
        ((200, b"[1]"), "its answer is no JSON object: [1]"),
        ((200, b"{}"), "its answer is no prediction of this batch: no 'outputs'"),
        ((200, b'{"outputs": [5]}'), "its answer is no prediction of this batch: 'int' object is not subscriptable"),
        (
            (200, b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}'),
            "its answer is no prediction of this batch: the output has shape (1, 2) for a batch of 2; its first axis",
        ),
        (
            (200, b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [1, 2]}]}'),
            "its answer is no prediction of this batch: cannot reshape array of size 2 into shape (2,2)",
        ),
    ],
)
def test_answers_that_are_no_prediction(server, load, answer, message):
    model = load("double")
    server.raw["/v2/models/double/infer"] = answer
    with pytest.raises(OutsideError) as caught:
        model.predict([[1, 2], [3, 4]])
    assert str(caught.value).startswith(f"model 'm': POST {server.url('double')}/infer with a batch of 2: {message}")


def test_server_that_is_silent(server, load):
    model = load("double", timeout="500ms")
    server.raw["/v2/models/double/infer"] = (None, b"")
    with pytest.raises(OutsideError, match=r"/infer with a batch of 1: no answer within 0.5 s \(option timeout\)$"):
        model.predict([[1, 2]])


def test_metadata_that_are_none(server, entry):
    server.raw["/v2/models/double"] = (200, b'{"inputs": [{"name": "x"}]}')
    with pytest.raises(OutsideError, match=r"/double: its inputs are not of this protocol: \[{'name': 'x'}\]$"):
        load_model(entry("http", server.url("double")), 1)


def test_client_that_is_not_installed(entry, monkeypatch):
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(InputError, match=r"models.m.http: needs httpx: pip install 'inferline\[http\]'$"):
        load_model(entry("http", "http://127.0.0.1:1/v2/models/m"), 1)
