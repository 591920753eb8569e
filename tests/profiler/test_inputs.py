"""Sample files with their faults, and inputs made up from a shape."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from inferline.errors import InputError
from profiler import inputs
from profiler.inputs import drawn, frames_of, own_inputs
from serving_adapter.models import ModelEntry, load_model


def entry(tmp_path: Path, **raw) -> ModelEntry:
    return ModelEntry.from_document("m", {"callable": "models:f", **raw}, tmp_path / "pipeline.yaml")


def own(of: ModelEntry, count: int = 4, seed: int = 0):
    return own_inputs(of, count, seed)


def fault_of(call) -> str:
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


def test_a_sample_file_has_one_input_a_line(tmp_path):
    (tmp_path / "s.jsonl").write_text('{"a": 1}\n\n"two\u2028lines"\r\n[1, 2]\n', encoding="utf-8")
    read = own(entry(tmp_path, sample="s.jsonl"))
    assert (read.values, read.made_up) == ([{"a": 1}, "two\u2028lines", [1, 2]], False)


def test_every_line_that_is_no_input_is_named(tmp_path):
    (tmp_path / "s.jsonl").write_text('[1.5, 2]\n[1,\n"x"\n[[1], [2, 3]]\n[1, NaN]\n')
    faults = fault_of(lambda: own(entry(tmp_path, sample="s.jsonl", input_type="doubles"))).splitlines()
    assert [fault.split(": ")[1] for fault in faults] == ["line 2", "line 3", "line 4", "line 5"]
    assert all(fault.startswith(str(tmp_path / "s.jsonl")) for fault in faults)
    assert "is not JSON" in faults[0]
    assert "is no array of doubles" in faults[1]


def test_a_missing_empty_or_endless_sample_file_is_a_fault(tmp_path, monkeypatch):
    wanted = entry(tmp_path, sample="s.jsonl")
    assert "cannot be read" in fault_of(lambda: own(wanted))
    (tmp_path / "s.jsonl").write_text("\n\n")
    assert "holds no inputs" in fault_of(lambda: own(wanted))
    (tmp_path / "s.jsonl").write_text("1\n" * (inputs.MAX_SAMPLES + 1))
    assert "line 10001: is beyond 10000 inputs" in fault_of(lambda: own(wanted))
    monkeypatch.setattr(inputs, "MAX_SAMPLE_BYTES", 100)
    assert "is larger than" in fault_of(lambda: own(wanted))


@pytest.mark.parametrize(("input_type", "item"), [("floats", "<f4"), ("doubles", "<f8"), ("integers", "<i4")])
def test_numbers_are_made_up_in_the_shape_that_is_said(tmp_path, input_type, item):
    of = entry(tmp_path, shape=[3, 5], input_type=input_type)
    made = own(of, count=4, seed=7)
    assert (len(made.values), made.made_up) == (4, True)
    frames = frames_of(of, made.values, "")
    arrays = [np.frombuffer(frame, item) for frame in frames]
    assert [array.size for array in arrays] == [15] * 4
    assert len(set(frames)) == 4
    assert frames == frames_of(of, own(of, count=4, seed=7).values, "")
    assert frames != frames_of(of, own(of, count=4, seed=8).values, "")


def test_json_gets_nested_lists(tmp_path):
    of = entry(tmp_path, shape=[2, 3])
    value = json.loads(frames_of(of, own(of, count=1).values, "")[0])
    assert np.asarray(value).shape == (2, 3)


def test_texts_and_bytes_are_made_up_by_length(tmp_path):
    texts = own(entry(tmp_path, input_type="strings", length=40)).values
    assert [len(text) for text in texts] == [40] * 4
    blobs = own(entry(tmp_path, input_type="bytes", length=40)).values
    assert [len(blob) for blob in blobs] == [40] * 4
    assert all(isinstance(blob, bytes) for blob in blobs)


@pytest.mark.parametrize(("dtype", "kinds"), [("int64", {int}), ("bool", {bool}), ("float16", {float})])
def test_numbers_are_of_the_type_that_a_module_takes(tmp_path, dtype, kinds):
    of = entry(tmp_path, shape=[20], dtype=dtype)
    assert {type(number) for number in own(of, count=1).values[0].tolist()} == kinds


def test_several_inputs_are_an_object_of_arrays(tmp_path):
    of = entry(tmp_path, shape={"image": [2, 2], "mask": [4]})
    value = json.loads(frames_of(of, own(of, count=1).values, "")[0])
    assert {name: np.shape(array) for name, array in value.items()} == {"image": (2, 2), "mask": (4,)}


def onnx_entry(tmp_path: Path, kind: int, dims: list[int | str], **raw) -> ModelEntry:
    """A model that hands its only input on."""
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "g", [tensor("x", kind, dims)], [tensor("y", kind, dims)]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    return ModelEntry.from_document("m", {"onnx": "m.onnx", **raw}, tmp_path / "pipeline.yaml")


def test_an_onnx_model_declares_its_inputs_itself(tmp_path):
    of = onnx_entry(tmp_path, TensorProto.INT64, ["batch", 3])
    values = own(of).values
    assert [value.shape for value in values] == [(3,)] * 4
    outputs = load_model(of, 1).predict([json.loads(frame) for frame in frames_of(of, values, "")])
    assert np.array_equal(outputs, values)


def test_an_onnx_model_with_open_lengths_needs_a_shape(tmp_path):
    assert "models.m.shape: [-1] of input 'x' leaves lengths open" in fault_of(
        lambda: own(onnx_entry(tmp_path, TensorProto.FLOAT, ["batch", "length"]))
    )
    of = onnx_entry(tmp_path, TensorProto.FLOAT, ["batch", "length"], shape=[7])
    assert [value.shape for value in own(of).values] == [(7,)] * 4
    assert "is of texts" in fault_of(lambda: own(onnx_entry(tmp_path, TensorProto.STRING, ["batch", 1])))


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ({}, "models.m.sample: missing; give sample:"),
        ({}, "or shape: to make up arrays"),
        ({"input_type": "strings"}, "models.m.sample: missing; give sample:, or length:"),
        ({"input_type": "strings", "length": 0}, "models.m.length: 0 is not a whole number from 1"),
        ({"input_type": "bytes", "length": True}, "models.m.length: true is not a whole number"),
        ({"shape": [0]}, "models.m.shape: [0] leaves lengths open; give sample:, or shape: with all of them"),
        ({"shape": [3, -1]}, "models.m.shape: [3, -1] leaves lengths open"),
        ({"shape": "big"}, "models.m.shape: expects a list of whole numbers"),
        ({"shape": {}}, "models.m.sample: missing; give sample:"),
        ({"shape": [100000, 100000]}, "models.m.shape: 4 inputs of 10000000000 numbers are more than is made up"),
    ],
)
def test_without_a_way_to_make_inputs_up_it_says_what_to_give(tmp_path, raw, wanted):
    assert wanted in fault_of(lambda: own(entry(tmp_path, **raw)))


def test_a_value_of_another_type_says_whose_it_is(tmp_path):
    message = fault_of(lambda: frames_of(entry(tmp_path, input_type="floats"), [[1.0], "cat"], "stage 'a' says else"))
    assert "models.m.input_type: floats are expected, and stage 'a' says else" in message


def test_fewer_inputs_are_drawn_in_their_own_order():
    values = list(range(100))
    first = drawn(values, 10, seed=1)
    assert first == sorted(set(first))
    assert len(first) == 10
    assert first == drawn(values, 10, seed=1)
    assert first != drawn(values, 10, seed=2)
    assert drawn(values, 200, seed=1) == values
