"""The keys of an administration request: which there must be, of what type, and Clipper's words when one is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from serving_adapter.frontend.request import (
    JSON_ERROR,
    RequestError,
    json_fault,
    json_type,
    parse_object,
    type_mismatch,
)

__all__ = ["READABLE_TYPES", "Fields", "read_fields"]

READABLE_TYPES: Mapping[str, str] = {
    **dict.fromkeys(("bytes", "byte", "b"), "bytes"),
    **dict.fromkeys(("integers", "ints", "integer", "int", "i"), "integers"),
    **dict.fromkeys(("floats", "float", "f"), "floats"),
    **dict.fromkeys(("doubles", "double", "d"), "doubles"),
    **dict.fromkeys(("strings", "string", "str", "strs", "s"), "strings"),
}
"""Readable name of each accepted name of an input type (case-sensitive)."""

_EXACT: Mapping[str, tuple[type, str]] = {"Bool": (bool, "True"), "Object": (dict, "Object")}
_INT_BITS = {"Int32": 32, "Int64": 64}
_SCHEMA_WORDS = {
    "String": "string",
    "InputType": '"integers" | "bytes" | "floats" | "doubles" | "strings"',
    "Int32": "int",
    "Int64": "int",
    "Bool": "bool",
    "Strings": "[string]",
    "Object": "{...}",
}


@dataclass(frozen=True, slots=True)
class Fields:
    """Keys and their types: String, InputType, Int32, Int64, Bool, Strings (an array of strings) or Object."""

    required: Mapping[str, str] = field(default_factory=dict)
    optional: Mapping[str, str] = field(default_factory=dict)

    def __init__(self, optional: Mapping[str, str] | None = None, /, **required: str) -> None:
        object.__setattr__(self, "required", required)
        object.__setattr__(self, "optional", optional or {})

    def may(self, **optional: str) -> Fields:
        """Return the same keys with optional ones beside them."""
        return Fields(optional, **self.required)

    @property
    def schema(self) -> str:
        """The keys as the error texts show them."""
        lines = [f'   "{key}" := {_SCHEMA_WORDS[kind]}' for key, kind in self.required.items()]
        lines += [f'   "{key}" := {_SCHEMA_WORDS[kind]} (optional)' for key, kind in self.optional.items()]
        return "\n  {\n" + ",\n".join(lines) + "\n  }\n"


def read_fields(body: bytes, fields: Fields) -> dict[str, Any]:
    """Read the keys of a request; input types come out in their readable form.

    Raises
    ------
    RequestError
        Its cause is the whole reply.
    """
    document = parse_object(body, fields.schema)
    read = {}
    for key, kind in (*fields.required.items(), *fields.optional.items()):
        if key in document:
            read[key] = _value(key, kind, document[key], fields.schema)
        elif key in fields.required:
            raise json_fault(f"JSON object does not have required key: {key}", fields.schema)
    return read


def _value(key: str, kind: str, value: Any, schema: str) -> Any:  # noqa: ANN401 - JSON values
    if kind in _INT_BITS:
        bound = 2 ** (_INT_BITS[kind] - 1)
        if type(value) is not int or not -bound <= value < bound:
            raise type_mismatch(key, "Number", value, schema)
    elif kind in _EXACT:
        wanted, name = _EXACT[kind]
        if type(value) is not wanted:
            raise type_mismatch(key, name, value, schema)
    elif kind == "Strings":
        if type(value) is not list:
            raise type_mismatch(key, "Array", value, schema)
        for each in value:
            if type(each) is not str:
                raise json_fault(f"Array input of type {json_type(each)} is not of type string", schema)
    elif type(value) is not str:
        raise type_mismatch(key, "String", value, schema)
    elif kind == "InputType":
        if value not in READABLE_TYPES:
            raise RequestError(JSON_ERROR, f"{value} is not a valid input string")
        return READABLE_TYPES[value]
    return value
