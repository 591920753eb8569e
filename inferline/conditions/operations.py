"""What the operators and functions of conditions do, and which values they take.

The values are checked, so that no other meaning that Python has for an operator is reached: ``%`` formats texts, and
``*`` repeats lists. Values are JSON, of exactly Python's own types.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

__all__ = ["FUNCTIONS", "OPERATORS", "ConditionError", "Operation", "kind"]

MOST_VALUES = 1000
"""Of ``min`` and ``max``: more than a condition has room for."""

_LARGEST = 10**300
_NUMBER_TYPES = frozenset({int, float})
_TEXT_TYPE = frozenset({str})
_KINDS: Mapping[type, str] = {int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}


class ConditionError(ValueError):
    """A text is no condition, or a condition does not apply to an output; says what is wrong."""


def kind(value: object) -> str:
    """Return what a value is, in the words of JSON.

    Examples
    --------
    >>> [kind(value) for value in (None, True, 0.5, 1e308, "cat", [], {}, b"")]
    ['null', 'true', 'a number', 'a number beyond 1e300', 'a text', 'a list', 'an object', 'a value of type bytes']
    """
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if _is_number(value) and not _computable(value):
        return "a number beyond 1e300"
    return _KINDS.get(type(value), f"a value of type {type(value).__name__}")


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """An operator or a function, and the values that it takes; of a function, also how many of them."""

    name: str
    takes: str
    fits: Callable[..., bool]
    apply: Callable[..., Any]
    counts: Sequence[int] = (1,)

    def __call__(self, *values: object) -> object:
        """Apply it; raises `ConditionError` when the values do not fit."""
        if self.fits(*values):
            return self.apply(*values)
        raise ConditionError(f"{self.name} takes {self.takes}, not {' and '.join(map(kind, values))}")


def _is_number(value: object) -> bool:
    return type(value) in _NUMBER_TYPES


def _computable(*values: Any) -> bool:  # noqa: ANN401 - whatever the output holds
    return all(_is_number(value) and -_LARGEST <= value <= _LARGEST for value in values)


def _texts(*values: object) -> bool:
    return _TEXT_TYPE.issuperset(map(type, values))


def _alike(*values: object) -> bool:
    types = set(map(type, values))
    return types <= _NUMBER_TYPES or types <= _TEXT_TYPE


def _choosable(*values: Any) -> bool:  # noqa: ANN401 - whatever the output holds
    if len(values) > 1:
        return _alike(*values)
    return type(values[0]) is list and len(values[0]) > 0 and _alike(*values[0])


def _sized(value: object) -> bool:
    return type(value) in {str, list, dict}


def _is_list(value: object) -> bool:
    return type(value) is list


def _searchable(whole: object, part: object) -> bool:
    return type(whole) is list or (type(whole) in {str, dict} and type(part) is str)


def _roundable(value: object, digits: object = 0) -> bool:
    return _computable(value) and type(digits) is int and 0 <= digits <= 15


_NUMBERS = ("numbers", _computable)
_COMPARED = ("two numbers or two texts", _alike)
_CHOSEN = ("numbers or texts, or a list of them that is not empty", _choosable)
_SEARCHED = ("a list and a value, or a text or an object and a text", _searchable)

_NAMED = (
    Operation("len", "a text, a list or an object", _sized, len),
    Operation("min", *_CHOSEN, min, range(1, MOST_VALUES)),
    Operation("max", *_CHOSEN, max, range(1, MOST_VALUES)),
    Operation("any", "a list", _is_list, any),
    Operation("all", "a list", _is_list, all),
    Operation("abs", *_NUMBERS, abs),
    Operation("round", "a number and 0 to 15 digits", _roundable, round, (1, 2)),
    Operation("lower", "a text", _texts, str.lower),
    Operation("upper", "a text", _texts, str.upper),
    Operation("startswith", "two texts", _texts, str.startswith, (2,)),
    Operation("endswith", "two texts", _texts, str.endswith, (2,)),
    Operation("contains", *_SEARCHED, operator.contains, (2,)),
)
FUNCTIONS: Mapping[str, Operation] = MappingProxyType({each.name: each for each in _NAMED})
"""By name."""

_IN = Operation("in", *_SEARCHED, operator.contains)

OPERATORS: Mapping[type[ast.AST], Callable[..., Any]] = {
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: Operation("<", *_COMPARED, operator.lt),
    ast.LtE: Operation("<=", *_COMPARED, operator.le),
    ast.Gt: Operation(">", *_COMPARED, operator.gt),
    ast.GtE: Operation(">=", *_COMPARED, operator.ge),
    ast.In: lambda part, whole: _IN(whole, part),
    ast.NotIn: lambda part, whole: not _IN(whole, part),
    ast.Add: Operation("+", *_NUMBERS, operator.add),
    ast.Sub: Operation("-", *_NUMBERS, operator.sub),
    ast.Mult: Operation("*", *_NUMBERS, operator.mul),
    ast.Div: Operation("/", *_NUMBERS, operator.truediv),
    ast.FloorDiv: Operation("//", *_NUMBERS, operator.floordiv),
    ast.Mod: Operation("%", *_NUMBERS, operator.mod),
    ast.UAdd: Operation("+", *_NUMBERS, operator.pos),
    ast.USub: Operation("-", *_NUMBERS, operator.neg),
}
"""By the kind of node in Python's syntax tree."""
