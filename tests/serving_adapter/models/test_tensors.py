"""Inputs stacked to tensors, and outputs split into rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from inferline.errors import InputError
from serving_adapter.models.outputs import rows, rows_of_several, rows_of_unnamed
from serving_adapter.models.tensors import TensorInput, batch_tensors, declared_input, read_shapes, stack

FIXED = settings(deadline=None, derandomize=True)
SHAPES = arrays_of.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=4)


def expected(dtype="float32", name="x", **more):
    return TensorInput(name=name, dtype=np.dtype(dtype), **more)


def of_type(array):
    return array.dtype.name, array.tolist()


def test_equal_lengths_are_stacked():
    assert of_type(stack([[1, 2.5], np.array([3, 4])], expected())) == ("float32", [[1, 2.5], [3, 4]])
    assert of_type(stack([1, 2], expected("int64"))) == ("int64", [1, 2])
    assert of_type(stack([True, False], expected("bool"))) == ("bool", [True, False])
    assert of_type(stack(["a", "b"], expected(object))) == ("object", ["a", "b"])
    assert of_type(stack([b"\x00\xff", b"\x01\x02"], expected("uint8"))) == ("uint8", [[0, 255], [1, 2]])


def test_unequal_lengths_are_padded_on_the_right():
    assert stack([[1], [2, 3], []], expected()).tolist() == [[1, 0], [2, 3], [0, 0]]
    assert stack([[["a"]], [["b", "c"], ["d", "e"]]], expected(object)).tolist() == [
        [["a", ""], ["", ""]],
        [["b", "c"], ["d", "e"]],
    ]


@FIXED
@given(
    st.lists(
        SHAPES.flatmap(lambda shape: arrays_of.arrays(np.int16, shape, elements=st.integers(1, 100))),
        min_size=1,
        max_size=4,
    )
)
def test_what_is_padded_is_there_in_its_corner_and_nothing_else(inputs):
    tensor = stack(inputs, expected("int64", dims=(None, None)))
    assert tensor.shape == (len(inputs), *np.max([each.shape for each in inputs], axis=0))
    assert tensor.sum() == sum(int(each.sum()) for each in inputs)
    for row, each in zip(tensor, inputs, strict=True):
        np.testing.assert_array_equal(row[: each.shape[0], : each.shape[1]], each)


def test_flat_inputs_take_the_shape_that_is_left():
    four = [1, 2, 3, 4]
    assert stack([four], expected(dims=(2, 2))).shape == (1, 2, 2)
    assert stack([four], expected(dims=(None, 2))).shape == (1, 2, 2)
    assert stack([four], expected(dims=(None, None), shape=(-1, 1))).shape == (1, 4, 1)
    assert stack([four], expected(shape=(2, 2))).shape == (1, 2, 2)
    assert stack([7], expected(dims=(1,))).tolist() == [[7]]
    assert stack([[[1, 2], [3, 4]]], expected(dims=(None, 2))).shape == (1, 2, 2)


@pytest.mark.parametrize(
    ("value", "tensor", "message"),
    [
        ([1, 2, 3], expected(dims=(2, 2)), "expects float32 of shape (2, 2) for each query; got shape (3)"),
        ([[1, 2]], expected(dims=(2,)), "expects float32 of shape (2) for each query; got shape (1, 2)"),
        ([1], expected(dims=(None, 2)), "expects float32 of shape (?, 2) for each query; got shape (1)"),
        (
            [1, 2],
            expected(dims=(3, None, None)),
            "expects float32 of shape (3, ?, ?) for each query; got shape (2) (option shape says what a flat input "
            "stands for)",
        ),
        (
            [1, 2, 3],
            expected(shape=(2, -1)),
            "expects float32; got 3 elements, which option shape [2, -1] cannot hold",
        ),
        ([[1], [1, 2]], expected(), "expects float32; got lists of unequal lengths within one input"),
        ("cat", expected(), "expects float32; got str"),
        (["1.5", None], expected(), "expects float32; got list of NoneType and str"),
        (None, expected(), "expects float32; got NoneType"),
        ({"a": 1}, expected(), "expects float32; got dict"),
        ([1.5], expected("int64"), "expects int64; got float64 that it cannot hold"),
        ([300], expected("uint8"), "expects uint8; got int64 that it cannot hold"),
        ([float("nan")], expected("int32"), "expects int32; got float64 that it cannot hold"),
        ([2], expected("bool"), "expects bool; got int64 that it cannot hold"),
        ([1], expected(object), "expects text; got list of int"),
        (b"\xff", expected(object), "expects text; got bytes that are not UTF-8"),
    ],
)
def test_what_does_not_fit_is_named(value, tensor, message):
    with pytest.raises(ValueError, match="input 'x'") as caught:
        stack([value], tensor)
    assert str(caught.value) == f"input 'x': {message}"


def test_inputs_of_different_rank_do_not_go_together():
    with pytest.raises(ValueError, match=r"^expects float32; got shapes \(\), \(1\) in one batch$"):
        stack([1, [1]], expected(name=""))


def test_several_inputs_are_objects():
    two = [expected(), expected("int64", name="y")]
    tensors = batch_tensors(two, [{"x": [1], "y": 2}, {"y": 3, "x": [4]}])
    assert {name: of_type(tensor) for name, tensor in tensors.items()} == {
        "x": ("float32", [[1], [4]]),
        "y": ("int64", [2, 3]),
    }
    for given_input, got in [([1], "list"), ({"x": 1}, "one with 'x'"), ({}, "one with nothing")]:
        with pytest.raises(ValueError, match=f"^expects an object with 'x', 'y'; got {got}$"):
            batch_tensors(two, [{"x": 1, "y": 2}, given_input])


def test_declared_inputs_have_the_batch_first(entry):
    floats = np.dtype("f4")
    made = [declared_input(entry("onnx", "f"), "x", floats, dims, None) for dims in ([], [None, 3], [1, None])]
    assert [(each.dims, each.single) for each in made] == [(None, False), ((3,), False), ((None,), True)]
    with pytest.raises(InputError, match=r"models.m.onnx: input 'x' takes batches of exactly 4; its first dimension"):
        declared_input(entry("onnx", "f"), "x", floats, [4, 3], None)


def test_option_shape(entry):
    assert read_shapes(entry("onnx", "f"), ["x"]) == {}
    assert read_shapes(entry("onnx", "f", shape=[3, -1]), ["x"]) == {"x": (3, -1)}
    assert read_shapes(entry("onnx", "f", shape=[3]), []) == {"": (3,)}
    assert read_shapes(entry("onnx", "f", shape={"y": [2]}), ["x", "y"]) == {"y": (2,)}


@pytest.mark.parametrize(
    ("shape", "where", "message"),
    [
        ([3], "shape", "expects an object of lists with 'x', 'y'; got [3]"),
        ({"z": [3]}, "shape", "expects an object of lists with 'x', 'y'; got {'z': [3]}"),
        (
            {"x": [-1, -1]},
            "shape.x",
            "expects a list of whole numbers, one of which may be -1, like [3, 224, 224]; got",
        ),
        (
            {"x": "3"},
            "shape.x",
            "expects a list of whole numbers, one of which may be -1, like [3, 224, 224]; got '3'",
        ),
        ({"x": [True]}, "shape.x", "expects a list of whole numbers, one of which may be -1, like"),
    ],
)
def test_faults_of_option_shape(entry, shape, where, message):
    with pytest.raises(InputError) as caught:
        read_shapes(entry("onnx", "f", shape=shape), ["x", "y"])
    assert str(caught.value).startswith(f"pipeline.yaml: models.m.{where}: {message}")


def test_rows():
    assert [row.tolist() for row in rows(np.array([[1, 2], [3, 4]]), 2)] == [[1, 2], [3, 4]]
    assert rows([{"a": 1}, "b"], 2) == [{"a": 1}, "b"]
    assert rows_of_several({"a": np.array([1, 2]), "b": ["c", "d"]}, 2) == [{"a": 1, "b": "c"}, {"a": 2, "b": "d"}]
    assert rows_of_unnamed((np.array([1, 2]), ["c", "d"]), 2) == [[1, "c"], [2, "d"]]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (np.zeros((3, 2)), "the output has shape (3, 2) for a batch of 2; its first axis must be the batch"),
        (np.float32(1), "the output is a float32 for a batch of 2; its first axis must be the batch"),
        (np.array(1.0), "the output has shape () for a batch of 2; its first axis must be the batch"),
        ([1], "the output has 1 elements for a batch of 2; its first axis must be the batch"),
        ("ab", "the output is a str for a batch of 2; its first axis must be the batch"),
    ],
)
def test_outputs_without_a_row_per_input(output, message):
    with pytest.raises(ValueError, match="the output") as caught:
        rows(output, 2)
    assert str(caught.value) == message
