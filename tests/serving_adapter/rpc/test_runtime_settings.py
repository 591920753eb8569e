"""What a container's process is told: environment variables, options, entries."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferline.errors import InputError
from serving_adapter.rpc.runtime_model import read_entry
from serving_adapter.rpc.runtime_settings import RuntimeSettings, read_settings

NEEDED = {"CLIPPER_MODEL_NAME": "m", "CLIPPER_MODEL_VERSION": "1", "CLIPPER_MODEL_PATH": "/model"}
KINDS = "callable, pytorch, onnx, sklearn, directory, http"


def faults(environment, **options):
    with pytest.raises(InputError) as caught:
        read_settings(environment, options)
    return [str(each) for each in caught.value.faults]


def test_what_nothing_says():
    assert read_settings(NEEDED, {}) == RuntimeSettings(
        name="m",
        version="1",
        path=Path("/model"),
        folder=Path("/model"),
        input_type=None,
        host="127.0.0.1",
        port=7000,
        ready_file=Path("/model_is_ready.check"),
        metrics_host="127.0.0.1",
        metrics_port=1390,
    )


def test_options_win_and_empty_variables_count_as_none():
    given = {**NEEDED, "CLIPPER_PORT": "7001", "CLIPPER_IP": "", "INFERLINE_CPUS": "3,1,3", "INFERLINE_THREADS": "2"}
    settings = read_settings(given, {"port": "7002", "name": None, "metrics_port": "0", "folder": "/here"})
    assert (settings.name, settings.host, settings.port) == ("m", "127.0.0.1", 7002)
    assert (settings.cpus, settings.threads, settings.metrics_port) == ((1, 3), 2, 0)
    assert (settings.path, settings.folder) == (Path("/model"), Path("/here"))


@pytest.mark.parametrize(
    ("names", "input_type"),
    [
        ("b byte bytes BYTES", "bytes"),
        ("i int ints integer integers Ints", "integers"),
        ("f float floats F", "floats"),
        ("d double doubles Doubles", "doubles"),
        ("s str strs string strings STR", "strings"),
    ],
)
def test_names_of_input_types(names, input_type):
    for name in names.split():
        assert read_settings({**NEEDED, "CLIPPER_INPUT_TYPE": name}, {}).input_type == input_type


def test_all_that_is_missing_is_named():
    assert faults({}) == [
        "CLIPPER_MODEL_NAME: is not set; give the name of the model (--name does the same)",
        "CLIPPER_MODEL_VERSION: is not set; give the version of the model (--version does the same)",
        "CLIPPER_MODEL_PATH: is not set; give the folder that holds func.pkl, or an entry in INFERLINE_MODEL "
        "(--path does the same)",
    ]


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("CLIPPER_PORT", "0", "expects a whole number from 1 to 65535; got '0'"),
        ("CLIPPER_PORT", "http", "expects a whole number from 1 to 65535; got 'http'"),
        ("CLIPPER_PORT", "٣", "expects a whole number from 1 to 65535; got '٣'"),
        ("INFERLINE_METRICS_PORT", "65536", "expects a whole number from 0 to 65535; got '65536'"),
        ("INFERLINE_THREADS", "0", "expects a whole number from 1 to 4096; got '0'"),
        ("INFERLINE_CPUS", "0-1", "expects numbers of cores like 0,1; got '0-1'"),
        (
            "CLIPPER_INPUT_TYPE",
            "images",
            "expects bytes, integers, floats, doubles or strings; json too with INFERLINE_MODEL; got 'images'",
        ),
        ("CLIPPER_INPUT_TYPE", "json", "is json, which only a model of INFERLINE_MODEL can take"),
        (
            "INFERLINE_MODEL",
            "{",
            "is no JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)); got '{'",
        ),
        ("INFERLINE_MODEL", "[]", """expects an object like {"callable": "module:function"}; got '[]'"""),
    ],
)
def test_what_is_wrong_is_named(variable, value, message):
    assert faults({**NEEDED, variable: value}) == [f"{variable}: {message}"]


def test_an_option_is_named_as_one():
    given = faults({**NEEDED, "CLIPPER_PORT": "7000"}, port="x")
    assert given == ["--port: expects a whole number from 1 to 65535; got 'x'"]


def test_entry_keeps_its_options_and_folder():
    raw = {"onnx": "m.onnx", "shape": [3, 2], "device": "cpu", "sample": "s.jsonl"}
    entry = read_entry("m", raw, Path("/models"))
    assert (entry.name, entry.kind, entry.target, entry.device) == ("m", "onnx", "m.onnx", "cpu")
    assert (entry.folder, entry.options, entry.input_type) == (Path("/models"), {"shape": [3, 2]}, "json")
    assert str(entry.fault("onnx", "is wrong")) == "INFERLINE_MODEL: models.m.onnx: is wrong"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, f"INFERLINE_MODEL: expects exactly one of {KINDS}; got none of them"),
        (
            {"container": "image"},
            f"INFERLINE_MODEL: expects exactly one of {KINDS}; got container",
        ),
        (
            {"callable": "a:b", "onnx": "c"},
            f"INFERLINE_MODEL: expects exactly one of {KINDS}; got callable and onnx",
        ),
        ({"callable": "a"}, "INFERLINE_MODEL: callable: expects module:function; got 'a'"),
        ({"pytorch": ":a"}, "INFERLINE_MODEL: pytorch: expects module:function; got ':a'"),
        ({"onnx": 1}, "INFERLINE_MODEL: onnx: expects a text; got 1"),
        ({"onnx": "a", "device": 0}, "INFERLINE_MODEL: device: expects a text; got 0"),
        (
            {"onnx": "a", "input_type": "d"},
            "INFERLINE_MODEL: input_type: expects one of bytes, integers, floats, doubles, strings; got 'd'",
        ),
    ],
)
def test_entry_that_is_wrong(raw, message):
    with pytest.raises(InputError) as caught:
        read_entry("m", raw, Path())
    assert str(caught.value) == message
