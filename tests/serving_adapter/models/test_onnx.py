"""ONNX models, run for real: each is built here, of a node or two."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from onnx import TensorProto, helper

from inferline.errors import InputError
from serving_adapter.models import load_model

FLOAT, INT64, STRING = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING


@pytest.fixture
def save(tmp_path):
    """Return what writes a model: inputs and outputs as (name, type, shape), nodes, constants by name."""

    def write(inputs, nodes, outputs, *, path="m.onnx", **constants):
        graph = helper.make_graph(
            [helper.make_node(kind, taken, made, **more) for kind, taken, made, more in nodes],
            "g",
            [helper.make_tensor_value_info(*each) for each in inputs],
            [helper.make_tensor_value_info(*each) for each in outputs],
            [
                helper.make_tensor(name, FLOAT, np.shape(value), np.asarray(value, "f4").flatten())
                for name, value in constants.items()
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        (tmp_path / path).write_bytes(model.SerializeToString())
        return path

    return write


@pytest.fixture
def affine(save):
    """y = x W + b, from 3 numbers to 2."""
    return save(
        [("x", FLOAT, ["batch", 3])],
        [("MatMul", ["x", "w"], ["xw"], {}), ("Add", ["xw", "b"], ["y"], {})],
        [("y", FLOAT, ["batch", 2])],
        w=[[1, 0], [0, 1], [2, 2]],
        b=[0.5, -0.5],
    )


def shown(outputs):
    return [output.tolist() for output in outputs]


def test_batches_of_json_and_of_typed_arrays(affine, entry):
    model = load_model(entry("onnx", affine), 1)
    assert shown(model.predict([[1, 2, 3]])) == [[7.5, 7.5]]
    assert shown(model.predict([[1, 2, 3], [0, 0, 0.25]])) == [[7.5, 7.5], [1, 0]]
    assert shown(model.predict([np.array([1, 0, 0], "<f8"), np.array([0, 1, 0], "<i4")])) == [[1.5, -0.5], [0.5, 0.5]]


def test_wrong_shapes_name_what_is_expected(affine, entry):
    model = load_model(entry("onnx", affine), 1)
    with pytest.raises(ValueError, match=r"^input 'x': expects float32 of shape \(3\) for each query; got shape \(2"):
        model.predict([[1, 2]])
    with pytest.raises(ValueError, match=r"^input 'x': expects float32 of shape \(3\) for each query; got str$"):
        model.predict(["text"])


def test_threads_are_those_that_are_given(affine, entry):
    options = load_model(entry("onnx", affine), 2).session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)


def test_unequal_lengths_are_padded_with_zeros(save, entry):
    file = save(
        [("x", FLOAT, ["n", "length"])],
        [("Neg", ["x"], ["y"], {})],
        [("y", FLOAT, ["n", "length"])],
    )
    assert shown(load_model(entry("onnx", file), 1).predict([[1], [2, 3]])) == [[-1, 0], [-2, -3]]


def test_option_shape_says_what_a_flat_input_stands_for(save, entry):
    file = save(
        [("x", FLOAT, ["n", 1, "h", "w"])],
        [("Transpose", ["x"], ["y"], {"perm": [0, 1, 3, 2]})],
        [("y", FLOAT, ["n", 1, "w", "h"])],
    )
    flat = np.arange(6, dtype="<f4")
    assert shown(load_model(entry("onnx", file, shape=[1, 2, 3]), 1).predict([flat])) == [[[[0, 3], [1, 4], [2, 5]]]]
    with pytest.raises(ValueError, match=r"\(1, \?, \?\) for each query; got shape \(6\) \(option shape says"):
        load_model(entry("onnx", file), 1).predict([flat])


def test_several_inputs_and_outputs_go_by_name(save, entry):
    file = save(
        [("a", FLOAT, ["n", 2]), ("b", INT64, ["n"])],
        [("Neg", ["a"], ["minus"], {}), ("Identity", ["b"], ["same"], {})],
        [("minus", FLOAT, ["n", 2]), ("same", INT64, ["n"])],
    )
    model = load_model(entry("onnx", file), 1)
    outputs = model.predict([{"a": [1, 2], "b": 3}, {"b": 4, "a": [5, 6]}])
    assert [{name: value.tolist() for name, value in output.items()} for output in outputs] == [
        {"minus": [-1, -2], "same": 3},
        {"minus": [-5, -6], "same": 4},
    ]
    with pytest.raises(ValueError, match="expects an object with 'a', 'b'; got one with 'a'"):
        model.predict([{"a": [1, 2]}])


def test_text(save, entry):
    file = save([("t", STRING, ["n"])], [("Identity", ["t"], ["y"], {})], [("y", STRING, ["n"])])
    assert load_model(entry("onnx", file), 1).predict(["a", "b"]) == ["a", "b"]


def test_first_dimension_of_one_is_run_once_per_input(save, entry):
    file = save([("x", FLOAT, [1, 2])], [("Neg", ["x"], ["y"], {})], [("y", FLOAT, [1, 2])])
    assert shown(load_model(entry("onnx", file), 1).predict([[1, 2], [3, 4]])) == [[-1, -2], [-3, -4]]


def test_model_that_says_nothing_of_its_shape(save, entry):
    file = save([("x", FLOAT, None)], [("Neg", ["x"], ["y"], {})], [("y", FLOAT, None)])
    assert shown(load_model(entry("onnx", file), 1).predict([[[1]], [[2]]])) == [[[-1]], [[-2]]]


def test_output_without_the_batch(save, entry):
    file = save([("x", FLOAT, ["n"])], [("ReduceMax", ["x"], ["y"], {"keepdims": 0})], [("y", FLOAT, [])])
    with pytest.raises(ValueError, match=r"^output 'y' has shape \(\) for a batch of 2; its first axis must be"):
        load_model(entry("onnx", file), 1).predict([1, 2])


def test_memory_that_runs_out_is_told_apart(save, entry):
    file = save(
        [("n", INT64, ["batch", 1])],
        [("Squeeze", ["n"], ["flat"], {}), ("ConstantOfShape", ["flat"], ["y"], {})],
        [("y", FLOAT, None)],
    )
    model = load_model(entry("onnx", file), 1)
    with pytest.raises(MemoryError, match="Failed to allocate memory"):
        model.predict([2**20, 2**25])


def test_file_of_an_installed_package(save, entry, tmp_path, monkeypatch):
    package = tmp_path / "site" / "some_models"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('loaded for nothing')")
    save([("x", FLOAT, ["n"])], [("Neg", ["x"], ["y"], {})], [("y", FLOAT, ["n"])], path=package / "deep" / "a.onnx")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert load_model(entry("onnx", "package:some_models/deep/a.onnx"), 1).predict([1]) == [-1]
    assert "some_models" not in sys.modules
    for target, message in [
        ("package:some_models/b.onnx", f"no file {package / 'b.onnx'}"),
        (
            "package:no_models/a.onnx",
            "no installed package 'no_models'; write package:NAME/path/in/it.onnx",
        ),
        ("package:a.b/a.onnx", "no installed package 'a.b'; write package:NAME/path/in/it.onnx"),
    ]:
        with pytest.raises(InputError) as caught:
            load_model(entry("onnx", target), 1)
        assert str(caught.value) == f"pipeline.yaml: models.m.onnx: {message}"


def test_wrong_files(save, entry, tmp_path):
    (tmp_path / "garbage.onnx").write_bytes(b"garbage")
    (tmp_path / "empty.onnx").write_bytes(b"")
    save([("x", FLOAT, ["n"])], [("Nonsense", ["x"], ["y"], {})], [("y", FLOAT, ["n"])], path="unknown.onnx")
    save([("x", FLOAT, [4])], [("Neg", ["x"], ["y"], {})], [("y", FLOAT, [4])], path="four.onnx")
    sequence = helper.make_graph(
        [helper.make_node("ConcatFromSequence", ["s"], ["y"], axis=0)],
        "g",
        [helper.make_tensor_sequence_value_info("s", FLOAT, None)],
        [helper.make_tensor_value_info("y", FLOAT, None)],
    )
    model = helper.make_model(sequence, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (tmp_path / "sequence.onnx").write_bytes(model.SerializeToString())
    for file, message in [
        ("missing.onnx", f"no file {tmp_path / 'missing.onnx'}"),
        ("garbage.onnx", f"{tmp_path / 'garbage.onnx'} is no model that ONNX Runtime can run: "),
        ("empty.onnx", f"{tmp_path / 'empty.onnx'} is no model that ONNX Runtime can run: "),
        ("unknown.onnx", f"{tmp_path / 'unknown.onnx'} is no model that ONNX Runtime can run: "),
        ("four.onnx", "input 'x' takes batches of exactly 4; its first dimension must be dynamic, or 1"),
        ("sequence.onnx", "input 's' is a seq(tensor(float)); accepted are tensor(float), "),
    ]:
        with pytest.raises(InputError) as caught:
            load_model(entry("onnx", file), 1)
        assert str(caught.value).startswith(f"pipeline.yaml: models.m.onnx: {message}")


def test_device_that_is_not_there(affine, entry):
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime can use CUDA")
    with pytest.raises(InputError, match=r"models.m.device: no cuda:0 here: this ONNX Runtime is built without CUDA"):
        load_model(entry("onnx", affine, device="cuda:0"), 1)


def test_runtime_that_is_not_installed(affine, entry, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"models.m.onnx: needs onnxruntime: pip install 'inferline\[onnx\]'$"):
        load_model(entry("onnx", affine), 1)
