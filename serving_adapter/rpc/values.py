"""Values on the wire: JSON values to the bytes of one input and back, a model's outputs to texts and back."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from serving_adapter.rpc.wire import DataType

__all__ = ["data_type_of", "json_text", "model_inputs", "output_bytes", "output_value", "wire_input"]

_NUMBERS: dict[str, np.dtype[Any]] = {
    "integers": np.dtype("<i4"),
    "floats": np.dtype("<f4"),
    "doubles": np.dtype("<f8"),
}


def data_type_of(input_type: str) -> DataType:
    """Return the wire type of an entry's input type; ``json`` travels as a string.

    Examples
    --------
    >>> data_type_of("json").readable, data_type_of("doubles").readable
    ('strings', 'doubles')
    """
    return DataType.STRINGS if input_type == "json" else DataType[input_type.upper()]


def wire_input(value: Any, input_type: str) -> bytes:  # noqa: ANN401 - a JSON value
    """Return the content of one input frame.

    Parameters
    ----------
    value
        A JSON value: an array of numbers, a string, base64 in a string for ``bytes``, anything for ``json``.
        Bytes are taken as they are. The protocol knows flat arrays only: one number is an array of one, and nested
        arrays are flattened, row after row. A value for ``strings`` that is none is handed on as its JSON text: so a
        stage can read what the stage before it returned.

    Raises
    ------
    ValueError
        When the value is not of that type.

    Examples
    --------
    >>> wire_input([1.0], "doubles").hex(), wire_input({"a": 1}, "json")
    ('000000000000f03f', b'{"a":1}')
    """
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if input_type == "strings" and isinstance(value, str):
        return value.encode()
    if input_type in {"json", "strings"}:
        try:
            return _json(value)
        except TypeError as error:
            raise ValueError(str(error)) from error
    if input_type == "bytes":
        if not isinstance(value, str):
            raise ValueError(f"a value of type bytes is base64 in a string, not {type(value).__name__}")
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise ValueError(f"is not base64: {error}") from error
    return _numbers(value, input_type)


def _numbers(value: object, input_type: str) -> bytes:
    dtype = _NUMBERS[input_type]
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"is no array of {input_type}: its lists are of unequal lengths") from error
    # NumPy would read numbers out of texts, round fractions, and take true for 1. An empty list has no kind.
    if array.size and array.dtype.kind not in ("iu" if input_type == "integers" else "iuf"):
        raise ValueError(f"is no array of {input_type}")
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    if input_type == "integers" and not np.array_equal(converted, array):
        raise ValueError("is no array of integers: each is of 32 bits")
    if input_type == "floats" and np.isinf(converted).sum() > np.isinf(array).sum():
        raise ValueError("is no array of floats: none is above 3.4e38 in magnitude")
    return converted.tobytes()


def model_inputs(frames: Sequence[bytes], input_type: str) -> list[Any]:
    """Return what a model of that input type is handed for these input frames.

    Numbers become 1-D arrays of their type, which are read-only; strings ``str``, bytes ``bytes``, and ``json`` the
    value itself, or the text where it is no JSON: whoever can send a query must not be able to end a container.

    Raises
    ------
    ValueError
        When a frame is not of that type.
    """
    if input_type == "json":
        return [output_value(frame) for frame in frames]
    if input_type == "strings":
        return [str(frame, "utf-8") for frame in frames]
    if input_type == "bytes":
        return [bytes(frame) for frame in frames]
    return [np.frombuffer(frame, dtype=_NUMBERS[input_type]) for frame in frames]


def output_bytes(output: Any) -> bytes:  # noqa: ANN401 - whatever a model returns
    """Return the frame of one output: a text as it is, anything else as JSON.

    Raises
    ------
    TypeError
        When JSON cannot hold it.
    """
    if isinstance(output, bytes):
        return output
    if isinstance(output, str):
        # Half of a surrogate pair, which UTF-8 cannot hold, may come from a model that cuts its texts.
        return output.encode(errors="replace")
    return _json(output)


def json_text(frame: bytes) -> bytes:
    """Return an output as JSON: as it is when it is JSON, else as a JSON string.

    Examples
    --------
    >>> json_text(b"[1, 2]"), json_text(b"cat")
    (b'[1, 2]', b'"cat"')
    """
    try:
        _parsed(frame)
    except ValueError:
        return _json(str(frame, "utf-8", "replace"))
    return frame


def output_value(frame: bytes | str) -> Any:  # noqa: ANN401 - a JSON value
    """Return an output as a JSON value: what the text says when it is JSON, else the text.

    Examples
    --------
    >>> output_value(b"[1, 2]"), output_value("cat")
    ([1, 2], 'cat')
    """
    try:
        return _parsed(frame)
    except ValueError:
        return frame if isinstance(frame, str) else str(frame, "utf-8", "replace")


def _parsed(frame: bytes | str) -> Any:  # noqa: ANN401 - a JSON value
    try:
        return msgspec.json.decode(frame)
    except RecursionError as error:
        raise ValueError("is JSON that is nested too deeply") from error


def _json(value: object) -> bytes:
    try:
        return msgspec.json.encode(value, enc_hook=_plain)
    except (RecursionError, UnicodeEncodeError, OverflowError) as error:
        raise TypeError(f"is no JSON value: {error}") from error


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a value of type {type(value).__name__} is no JSON value")
