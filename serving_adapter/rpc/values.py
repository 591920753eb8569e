"""Values on the wire: JSON values to the bytes of one input and back, a model's outputs to texts and back."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from serving_adapter.rpc.wire import DataType

__all__ = ["data_type_of", "model_inputs", "output_bytes", "output_value", "wire_input"]

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
        Bytes are taken as they are.

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
    if input_type == "json":
        return msgspec.json.encode(value, enc_hook=_plain)
    if input_type == "strings":
        if not isinstance(value, str):
            # A stage behind another one may be handed an object: it gets the object's JSON text.
            return msgspec.json.encode(value, enc_hook=_plain)
        return value.encode()
    if input_type == "bytes":
        if not isinstance(value, str):
            raise ValueError(f"a value of type bytes is base64 in a string, not {type(value).__name__}")
        try:
            return base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise ValueError(f"is not base64: {error}") from error
    try:
        array = np.asarray(value, dtype=_NUMBERS[input_type])
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"is no array of {input_type}: {error}") from error
    return array.tobytes()


def model_inputs(frames: Sequence[bytes], input_type: str) -> list[Any]:
    """Return what a model of that input type is handed for these input frames.

    Numbers become 1-D arrays of their type, strings ``str``, bytes ``bytes``, and ``json`` the value itself.

    Raises
    ------
    ValueError
        When a frame is not of that type.
    """
    if input_type == "json":
        return [msgspec.json.decode(frame) for frame in frames]
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
    if isinstance(output, str):
        return output.encode()
    if isinstance(output, bytes):
        return output
    return msgspec.json.encode(output, enc_hook=_plain)


def output_value(frame: bytes | str) -> Any:  # noqa: ANN401 - a JSON value
    """Return an output as a JSON value: what the text says when it is JSON, else the text.

    Examples
    --------
    >>> output_value(b"[1, 2]"), output_value("cat")
    ([1, 2], 'cat')
    """
    try:
        return msgspec.json.decode(frame)
    except msgspec.DecodeError:
        return frame if isinstance(frame, str) else str(frame, "utf-8", "replace")


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"an output of type {type(value).__name__} is no JSON value")
