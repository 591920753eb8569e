"""What is wrong with a body that is no JSON, in the words of RapidJSON: Clipper's clients see them.

Only the first fault is wanted, and only when parsing has failed: a small recursive reader that keeps no values.
"""

from __future__ import annotations

import re
from math import isinf

__all__ = ["parse_fault"]

_SPACE = re.compile(rb"[ \t\n\r]*")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)")
_FRACTION = re.compile(rb"[0-9]+")
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
_ESCAPE = re.compile(rb'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_LITERALS = (b"true", b"false", b"null")
_DEEPEST = 150
"""Deeper than any request, and far from Python's own bound: each level takes two of its frames."""

EMPTY = "The document is empty."
ROOT_NOT_ALONE = "The document root must not be followed by other values."
INVALID = "Invalid value."
NO_NAME = "Missing a name for object member."
NO_COLON = "Missing a colon after a name of object member."
NO_COMMA_OR_BRACE = "Missing a comma or '}' after an object member."
NO_COMMA_OR_BRACKET = "Missing a comma or ']' after an array element."
BAD_ESCAPE = "Invalid escape character in string."
NO_QUOTE = "Missing a closing quotation mark in string."
NO_FRACTION = "Miss fraction part in number."
NO_EXPONENT = "Miss exponent in number."
BAD_ENCODING = "Invalid encoding in string."
TOO_BIG = "Number too big to be stored in double."
TERMINATED = "Terminate parsing due to Handler error."


class _FaultError(Exception):
    """The first fault: its text and its offset."""


def parse_fault(body: bytes) -> str:
    """Return RapidJSON's text for the first fault and its offset in bytes.

    Examples
    --------
    >>> parse_fault(b"")
    'The document is empty. (offset 0)'
    >>> parse_fault(b'{"input": [1.0}')
    "Missing a comma or ']' after an array element. (offset 14)"
    """
    try:
        place = _skip(body, 0)
        if place == len(body):
            raise _FaultError(EMPTY, place)
        place = _skip(body, _value(body, place, 0))
        if place != len(body):
            raise _FaultError(ROOT_NOT_ALONE, place)
        body.decode()
    except _FaultError as fault:
        return f"{fault.args[0]} (offset {fault.args[1]})"
    except UnicodeDecodeError as error:
        return f"{BAD_ENCODING} (offset {error.start})"
    # Sound by this grammar: something that only the strict decoder refuses, such as a lone surrogate.
    return f"{TERMINATED} (offset {len(body)})"


def _skip(body: bytes, place: int) -> int:
    found = _SPACE.match(body, place)
    return place if found is None else found.end()


def _value(body: bytes, place: int, depth: int) -> int:
    """Read one value from its first byte; return where it ends."""
    if depth > _DEEPEST:
        raise _FaultError(TERMINATED, place)
    first = body[place : place + 1]
    if first == b"{":
        return _object(body, place + 1, depth)
    if first == b"[":
        return _array(body, place + 1, depth)
    if first == b'"':
        return _string(body, place)
    for literal in _LITERALS:
        if first == literal[:1]:
            for i, byte in enumerate(literal):
                if body[place + i : place + i + 1] != bytes([byte]):
                    raise _FaultError(INVALID, place + i)
            return place + len(literal)
    return _number(body, place)


def _object(body: bytes, place: int, depth: int) -> int:
    place = _skip(body, place)
    if body[place : place + 1] == b"}":
        return place + 1
    while True:
        if body[place : place + 1] != b'"':
            raise _FaultError(NO_NAME, place)
        place = _skip(body, _string(body, place))
        if body[place : place + 1] != b":":
            raise _FaultError(NO_COLON, place)
        place = _skip(body, _value(body, _skip(body, place + 1), depth + 1))
        match body[place : place + 1]:
            case b",":
                place = _skip(body, place + 1)
            case b"}":
                return place + 1
            case _:
                raise _FaultError(NO_COMMA_OR_BRACE, place)


def _array(body: bytes, place: int, depth: int) -> int:
    place = _skip(body, place)
    if body[place : place + 1] == b"]":
        return place + 1
    while True:
        place = _skip(body, _value(body, place, depth + 1))
        match body[place : place + 1]:
            case b",":
                place = _skip(body, place + 1)
            case b"]":
                return place + 1
            case _:
                raise _FaultError(NO_COMMA_OR_BRACKET, place)


def _string(body: bytes, start: int) -> int:
    place = start + 1
    while True:
        plain = _PLAIN.match(body, place)
        place = place if plain is None else plain.end()
        match body[place : place + 1]:
            case b'"':
                return place + 1
            case b"\\":
                escape = _ESCAPE.match(body, place)
                if escape is None:
                    raise _FaultError(BAD_ESCAPE, place)
                place = escape.end()
            case b"":
                raise _FaultError(NO_QUOTE, start)
            case _:
                raise _FaultError(BAD_ENCODING, place)


def _number(body: bytes, place: int) -> int:
    start = place
    whole = _NUMBER.match(body, place)
    if whole is None:
        raise _FaultError(INVALID, place)
    place = whole.end()
    if body[place : place + 1] == b".":
        place = _digits(body, place + 1, NO_FRACTION)
    if body[place : place + 1] in {b"e", b"E"}:
        place += 1
        if body[place : place + 1] in {b"+", b"-"}:
            place += 1
        place = _digits(body, place, NO_EXPONENT)
    if isinf(float(body[start:place])):
        raise _FaultError(TOO_BIG, start)
    return place


def _digits(body: bytes, place: int, missing: str) -> int:
    found = _FRACTION.match(body, place)
    if found is None:
        raise _FaultError(missing, place)
    return found.end()
