"""JSON values to the bytes of an input and back, outputs to texts and back."""

from __future__ import annotations

from struct import pack

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving_adapter.rpc.values import data_type_of, model_inputs, output_bytes, output_value, wire_input
from serving_adapter.rpc.wire import DataType

FIXED = settings(deadline=None, derandomize=True)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
TYPES = ["bytes", "integers", "floats", "doubles", "strings", "json"]


@pytest.mark.parametrize(
    ("value", "input_type", "content"),
    [
        ([1, -2], "integers", pack("<2i", 1, -2)),
        ([2**31 - 1, -(2**31)], "integers", pack("<2i", 2**31 - 1, -(2**31))),
        ([], "integers", b""),
        ([1, 2.5], "floats", pack("<2f", 1, 2.5)),
        ([1, 2.5], "doubles", pack("<2d", 1, 2.5)),
        (0.5, "doubles", pack("<d", 0.5)),
        ([[1, 2], [3, 4]], "floats", pack("<4f", 1, 2, 3, 4)),
        (np.array([[1], [2]], ">f8"), "floats", pack("<2f", 1, 2)),
        ("grüezi", "strings", "grüezi".encode()),
        ({"a": [1]}, "strings", b'{"a":[1]}'),
        ("AP8=", "bytes", b"\x00\xff"),
        (b"raw", "bytes", b"raw"),
        (bytearray(b"raw"), "floats", b"raw"),
        ("a", "json", b'"a"'),
        ({"a": np.array([1, 2]), "b": np.float32(0.5)}, "json", b'{"a":[1,2],"b":0.5}'),
    ],
)
def test_inputs_on_the_wire(value, input_type, content):
    assert wire_input(value, input_type) == content


@pytest.mark.parametrize(
    ("value", "input_type", "message"),
    [
        ([1.5], "integers", "is no array of integers"),
        ([True], "integers", "is no array of integers"),
        (["1"], "integers", "is no array of integers"),
        ([2**31], "integers", "is no array of integers: each is of 32 bits"),
        ([2**70], "integers", "is no array of integers"),
        (None, "floats", "is no array of floats"),
        ([None, 1.0], "floats", "is no array of floats"),
        ({"a": 1}, "doubles", "is no array of doubles"),
        ([[1.0], [1.0, 2.0]], "doubles", "is no array of doubles: its lists are of unequal lengths"),
        ([1e39], "floats", "is no array of floats: none is above 3.4e38 in magnitude"),
        ("a", "bytes", "is not base64: "),
        ("ä", "bytes", ""),
        ([1], "bytes", "a value of type bytes is base64 in a string, not list"),
        (object(), "json", "a value of type object is no JSON value"),
        ("\ud800", "strings", "'utf-8' codec can't encode"),
        (["\ud800"], "json", "is no JSON value: 'utf-8' codec can't encode"),
    ],
)
def test_values_of_another_type(value, input_type, message):
    with pytest.raises(ValueError, match=r".") as caught:
        wire_input(value, input_type)
    assert str(caught.value).startswith(message)


@FIXED
@given(JSON)
def test_json_comes_back(value):
    assert model_inputs([wire_input(value, "json")], "json") == [value]


@FIXED
@given(st.lists(st.text()))
def test_strings_come_back(values):
    assert model_inputs([wire_input(value, "strings") for value in values], "strings") == values


@FIXED
@given(st.lists(st.floats(width=32)))
def test_floats_come_back(values):
    (array,) = model_inputs([wire_input(values, "floats")], "floats")
    np.testing.assert_array_equal(array, np.array(values, "f4"))
    assert (array.ndim, array.dtype) == (1, np.float32)


@FIXED
@given(st.lists(st.floats()))
def test_doubles_come_back(values):
    np.testing.assert_array_equal(model_inputs([wire_input(values, "doubles")], "doubles")[0], np.array(values))


@FIXED
@given(st.lists(st.integers(-(2**31), 2**31 - 1)))
def test_integers_come_back(values):
    (array,) = model_inputs([wire_input(values, "integers")], "integers")
    assert (array.dtype, array.tolist()) == (np.int32, values)


@FIXED
@given(JSON | st.binary(), st.sampled_from(TYPES))
def test_any_value_is_an_input_or_refused_as_none(value, input_type):
    try:
        content = wire_input(value, input_type)
    except ValueError:
        return
    assert type(content) is bytes


@FIXED
@given(st.binary(), st.sampled_from(TYPES))
def test_any_frame_is_an_input_or_refused_as_none(frame, input_type):
    try:
        (value,) = model_inputs([frame], input_type)
    except ValueError:
        return
    if input_type != "json":
        assert wire_input(value, input_type) == frame


def test_an_input_that_is_no_json_is_its_text():
    assert model_inputs([b"{", b"caf\xc3\xa9", b"\xff"], "json") == ["{", "caf\u00e9", "\ufffd"]


def test_json_that_is_nested_too_deeply():
    assert model_inputs([b"[" * 100_000], "json") == ["[" * 100_000]
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="is no JSON value: maximum recursion depth exceeded"):
        wire_input(deep, "json")
    while deep:  # else freeing it would recurse as deeply
        deep = deep[0]


@pytest.mark.parametrize(
    ("output", "frame", "value"),
    [
        ("cat", b"cat", "cat"),
        ("1.0", b"1.0", 1.0),
        ("\ud800", b"?", "?"),
        (b"\xff", b"\xff", "\ufffd"),
        (b'"\xff"', b'"\xff"', '"\ufffd"'),
        (1, b"1", 1),
        (None, b"null", None),
        ({"label": np.str_("cat"), "p": np.float32(0.5)}, b'{"label":"cat","p":0.5}', {"label": "cat", "p": 0.5}),
        (np.array([[1, 2]]), b"[[1,2]]", [[1, 2]]),
        (np.array(["a", "b"], object), b'["a","b"]', ["a", "b"]),
        ((True, np.bool_(False)), b"[true,false]", [True, False]),
        (float("nan"), b"null", None),
    ],
)
def test_outputs(output, frame, value):
    assert output_bytes(output) == frame
    assert output_value(frame) == value


@pytest.mark.parametrize("output", [object(), 1j, {"a": object()}, np.array([1j]), {(1, 2): 3}, ["\ud800"]])
def test_outputs_that_json_cannot_hold(output):
    with pytest.raises(TypeError, match="is no JSON value"):
        output_bytes(output)


@FIXED
@given(st.binary() | st.text() | st.integers(1000, 10_000).map(lambda depth: b"[" * depth))
def test_any_output_is_a_value(frame):
    value = output_value(frame)
    if isinstance(frame, str) and not isinstance(value, str):
        assert output_value(output_bytes(value)) == value


@FIXED
@given(JSON)
def test_outputs_come_back(value):
    if not isinstance(value, str):
        assert output_value(output_bytes(value)) == value


def test_types():
    assert [data_type_of(kind) for kind in TYPES] == [*DataType, DataType.STRINGS]
