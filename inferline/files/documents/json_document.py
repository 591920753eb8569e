"""JSON text to plain mappings, lists and scalars; what Python's reader lets through is named as a fault."""

from __future__ import annotations

import json
from typing import Any

from inferline.errors import Fault, InputError
from inferline.files.documents.scalars import number
from inferline.files.wording import shown

__all__ = ["parse_json"]


def parse_json(file: str, text: str) -> Any:  # noqa: ANN401 - whatever the file holds
    """Read one JSON document.

    Parameters
    ----------
    file
        The file, as the user named it.
    text
        Its text.

    Raises
    ------
    InputError
        When it is not JSON, holds NaN or an infinity, gives a key twice, or is nested too deeply.
    """
    faults: list[Fault] = []

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in pairs:
            if key in values:
                faults.append(Fault(file, "", f"the key {shown(key)} is given twice in one object; keep one"))
            values[key] = value
        return values

    def constant(word: str) -> float:
        faults.append(Fault(file, "", f"{word} is not a number in JSON"))
        return 0.0

    def parsed(word: str) -> int | float:
        value = number(word)
        return float(word) if value is None else value

    try:
        document = json.loads(
            text, object_pairs_hook=mapping, parse_constant=constant, parse_int=parsed, parse_float=parsed
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputError(Fault(file, where, f"is not JSON: {error.msg}")) from error
    except RecursionError as error:
        raise InputError(Fault(file, "", "is nested too deeply")) from error
    if faults:
        raise InputError(*dict.fromkeys(faults))
    return document
