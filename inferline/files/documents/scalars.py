"""Plain words of a document as values: the numbers of YAML 1.2, the booleans of YAML 1.1."""

from __future__ import annotations

import re

__all__ = ["decimal", "number", "resolve"]

_EMPTY = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
# Leading zeros are octal to some readers and decimal to others, so 010 stays a text and is refused as a number.
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,99})", re.ASCII)
_FLOAT = re.compile(
    r"[-+]?(?:(?:[0-9]{1,100}\.[0-9]{0,100}|\.[0-9]{1,100})(?:[eE][-+]?[0-9]{1,9})?|[0-9]{1,100}[eE][-+]?[0-9]{1,9})",
    re.ASCII,
)
_DECIMAL = re.compile(r"[-+]?(?:[0-9]{1,100}\.?[0-9]{0,100}|\.[0-9]{1,100})(?:[eE][-+]?[0-9]{1,9})?", re.ASCII)
_INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def number(text: str) -> int | float | None:
    """Return the number that a decimal text says, or None when it says none.

    Examples
    --------
    >>> number("12"), number("1e3"), number(".5"), number("010"), number("1_000"), number("nan")
    (12, 1000.0, 0.5, None, None, None)
    """
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else None


def decimal(text: str) -> float | None:
    """Return the number that a cell of a table says, or None; unlike in YAML, ``007`` is 7.

    Examples
    --------
    >>> decimal(" 007"), decimal("1e-3"), decimal("nan"), decimal("1_0")
    (7.0, 0.001, None, None)
    """
    stripped = text.strip()
    return float(stripped) if _DECIMAL.fullmatch(stripped) else None


def resolve(text: str) -> str | int | float | bool | None:
    """Return what an unquoted YAML scalar means.

    Examples
    --------
    >>> resolve("no"), resolve("~"), resolve("0.5"), resolve("150ms"), resolve("2024-01-01")
    (False, None, 0.5, '150ms', '2024-01-01')
    """
    if text in _EMPTY:
        return None
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", "", 1))
    value = number(text)
    return text if value is None else value
