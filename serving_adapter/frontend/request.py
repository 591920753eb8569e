"""Requests of the query interface: from a JSON body to input frames, with Clipper's lexical rules and error texts.

A number is a "double" or "float" only when it is written with a fraction or an exponent, and an "int" only when it is
not: the type that the JSON decoder gives a number is what was written, so types are compared, nothing is converted.
"""

from __future__ import annotations

import base64
import binascii
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from serving_adapter.frontend.json_faults import parse_fault

__all__ = [
    "JSON_ERROR",
    "PREDICT_SCHEMA",
    "QUERY_ERROR",
    "UPDATE_SCHEMA",
    "Feedback",
    "Predict",
    "RequestError",
    "json_fault",
    "json_type",
    "parse_feedback",
    "parse_object",
    "parse_predict",
    "type_mismatch",
]

JSON_ERROR = "Json error"
QUERY_ERROR = "Query processing error"

PREDICT_SCHEMA = """
  {
   "input" := [double] | [int] | [string] | [byte] | [float],
   "input_batch" := [[double] | [int] | [byte] | [float] | string],
   "version" := string (optional)
  }
"""

UPDATE_SCHEMA = """
  {
   "uid" := int,
   "input" := [double] | [int] | [string] | [byte] | [float],
   "label" := double
  }
"""

MOST_FLOAT = 3.4028234e38
"""Largest magnitude of a float element."""

_decode = msgspec.json.Decoder().decode
_NUMBERS: Mapping[str, tuple[type, str, str]] = {
    "integers": (int, "i", "int"),
    "floats": (float, "f", "float"),
    "doubles": (float, "d", "double"),
}


class RequestError(ValueError):
    """A request that is answered with 400.

    Parameters
    ----------
    error
        `JSON_ERROR` or `QUERY_ERROR`.
    cause
        The sentence that clients match on.
    """

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(error, cause)
        self.error = error
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Predict:
    """A predict request: its input frames, whether they came as a batch, and the version that it pins."""

    inputs: list[bytes]
    batch: bool
    version: str | None
    uid: int = 0


@dataclass(frozen=True, slots=True)
class Feedback:
    """An update request."""

    uid: int
    input: bytes
    label: float


def parse_predict(body: bytes, input_type: str) -> Predict:
    """Read the body of a predict request to an application of that input type.

    Raises
    ------
    RequestError
        With Clipper's texts.
    """
    document = parse_object(body, PREDICT_SCHEMA)
    if "input" in document:
        inputs = [_frame(document["input"], "input", input_type, PREDICT_SCHEMA)]
        batch = False
    elif "input_batch" in document:
        elements = document["input_batch"]
        if type(elements) is not list:
            raise type_mismatch("input_batch", "Array", elements, PREDICT_SCHEMA)
        _check_elements(elements, input_type)
        inputs = [_frame(element, "input_batch", input_type, PREDICT_SCHEMA) for element in elements]
        batch = True
    else:
        message = "JSON object does not have required keys input or input_batch"
        raise json_fault(message, PREDICT_SCHEMA)
    version = document.get("version")
    if version is not None and type(version) is not str:
        raise type_mismatch("version", "String", version, PREDICT_SCHEMA)
    uid = document.get("uid")
    return Predict(inputs, batch, version, uid if type(uid) is int and _is_int64(uid) else 0)


def parse_feedback(body: bytes, input_type: str) -> Feedback:
    """Read the body of an update request.

    Raises
    ------
    RequestError
        Its cause is the whole reply.
    """
    document = parse_object(body, UPDATE_SCHEMA)
    for key in ("uid", "input", "label"):
        if key not in document:
            raise json_fault(f"JSON object does not have required key: {key}", UPDATE_SCHEMA)
    uid, label = document["uid"], document["label"]
    if type(uid) is not int or not _is_int64(uid):
        raise type_mismatch("uid", "Number", uid, UPDATE_SCHEMA)
    if type(label) is not float:
        raise type_mismatch("label", "Number", label, UPDATE_SCHEMA)
    return Feedback(uid, _frame(document["input"], "input", input_type, UPDATE_SCHEMA), label)


def parse_object(body: bytes, schema: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    RequestError
        When the body is no JSON, or no object.
    """
    try:
        document = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise json_fault(f"JSON parse error: {parse_fault(body)}\n", schema) from error
    if type(document) is not dict:
        raise RequestError(JSON_ERROR, "JSON schema invalid")
    return document


def _is_int64(number: int) -> bool:
    return -(2**63) <= number < 2**63


def type_mismatch(key: str, expected: str, value: object, schema: str) -> RequestError:
    """Return the error for a key whose value is of another JSON type; the missing blank is Clipper's."""
    message = f"Type mismatch! JSON key {key} expected type {expected}but found type {json_type(value)}"
    return json_fault(message, schema)


def json_type(value: object) -> str:
    """Return the name that Clipper's parser has for the type of a JSON value.

    Examples
    --------
    >>> json_type(None), json_type(True), json_type(1.5), json_type([])
    ('Null', 'True', 'Number', 'Array')
    """
    if isinstance(value, bool):
        return str(value)
    return _JSON_TYPES.get(type(value), "Number")


_JSON_TYPES = {type(None): "Null", dict: "Object", list: "Array", str: "String"}


def json_fault(message: str, schema: str) -> RequestError:
    """Return the error for a body that is not what the schema says."""
    return RequestError(JSON_ERROR, f"Error parsing JSON: {message}. Expected JSON schema: {schema}")


def _element_error(value: object, expected: str, schema: str) -> RequestError:
    return json_fault(f"Array input of type {json_type(value)} is not of type {expected}", schema)


def _check_elements(elements: Sequence[object], input_type: str) -> None:
    wanted, name = (list, "array") if input_type in _NUMBERS else (str, "string")
    for element in elements:
        if type(element) is not wanted:
            raise _element_error(element, name, PREDICT_SCHEMA)


def _frame(value: Any, key: str, input_type: str, schema: str) -> bytes:  # noqa: ANN401 - a JSON value
    return _FRAMES[input_type](value, key, input_type, schema)


def _numbers(value: Any, key: str, input_type: str, schema: str) -> bytes:  # noqa: ANN401 - a JSON value
    wanted, code, name = _NUMBERS[input_type]
    if type(value) is not list:
        raise type_mismatch(key, "Array", value, schema)
    if not value:
        return b""
    if {*map(type, value)} != {wanted}:
        raise _element_error(next(each for each in value if type(each) is not wanted), name, schema)
    if code == "f" and (max(value) > MOST_FLOAT or min(value) < -MOST_FLOAT):
        raise _element_error(max(value, key=abs), name, schema)
    try:
        return array(code, value).tobytes()
    except OverflowError as error:
        raise _element_error(max(value, key=abs), name, schema) from error


def _text(value: Any, key: str, input_type: str, schema: str) -> bytes:  # noqa: ANN401, ARG001 - a JSON value
    if type(value) is not str:
        raise type_mismatch(key, "String", value, schema)
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise json_fault("a string is no valid Unicode", schema) from error


def _bytes(value: Any, key: str, input_type: str, schema: str) -> bytes:  # noqa: ANN401, ARG001 - a JSON value
    if type(value) is not str:
        raise type_mismatch(key, "String", value, schema)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise json_fault(f"JSON key {key} is not base64", schema) from error


_FRAMES: Mapping[str, Callable[[Any, str, str, str], bytes]] = {
    "integers": _numbers,
    "floats": _numbers,
    "doubles": _numbers,
    "strings": _text,
    "bytes": _bytes,
}
