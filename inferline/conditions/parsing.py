"""From a text to the syntax tree of a condition: Python's grammar, then only the parts of it that are accepted."""

from __future__ import annotations

import ast
import keyword
import re
import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NoReturn

from inferline.conditions.operations import FUNCTIONS, OPERATORS, ConditionError

__all__ = ["MAX_DEPTH", "MAX_LENGTH", "parsed", "shown"]

MAX_LENGTH = 1000
"""Most characters of a condition."""

MAX_DEPTH = 50
"""Most levels of a condition: ``output`` alone has one, ``output.score < 0.6`` has three."""

_MOST_SHOWN = 100
_EXAMPLE = "write a condition like output.confidence < 0.6"
_ACCEPTED = (
    "this is not accepted; accepted are output, its keys and items, numbers, texts, True, False, None, lists, "
    "comparisons, in, and, or, not, + - * / // % and functions"
)
_INSTEAD: Mapping[type[ast.AST], str] = MappingProxyType(
    {
        ast.Pow: "** is not accepted; multiply",
        ast.BitAnd: "& is not accepted; write and",
        ast.BitOr: "| is not accepted; write or",
        ast.Invert: "~ is not accepted; write not",
        ast.Is: "'is' is not accepted; write ==",
        ast.IsNot: "'is not' is not accepted; write !=",
    }
)
_CONSTANTS: Mapping[str, str] = MappingProxyType({"true": "True", "false": "False", "null": "None"})


def shown(text: str) -> str:
    """Return a text in quotes, cut when it is long."""
    return repr(text) if len(text) <= _MOST_SHOWN else repr(text[:_MOST_SHOWN]) + "..."


def parsed(text: str) -> ast.expr:
    """Return the tree of a condition, after checking every part of it.

    Raises
    ------
    ConditionError
        When it is not accepted; names the first place (characters count from 1) and what would be accepted.
    """
    if not text.strip(" "):
        raise ConditionError(f"a blank condition; {_EXAMPLE}")
    if len(text) > MAX_LENGTH:
        raise ConditionError(f"{shown(text)} has {len(text)} characters; a condition has at most {MAX_LENGTH}")
    if not text.isprintable():
        place = next(i for i, character in enumerate(text) if not character.isprintable())
        _refuse(text, place, "a character that cannot be printed; write the condition on one line")
    indent = len(text) - len(text.lstrip(" "))
    source = text[indent:]
    tree = _python(text, source, indent)
    waiting = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        # Python counts columns in bytes of UTF-8.
        place = indent + len(source.encode()[: node.col_offset].decode())
        if depth > MAX_DEPTH:
            _refuse(text, place, f"it is nested more than {MAX_DEPTH} levels deep")
        try:
            waiting += [(part, depth + 1) for part in reversed(_parts(node))]
        except ConditionError as error:
            _refuse(text, place, str(error))
    constant = isinstance(tree, ast.Constant) and not isinstance(tree.value, bool)
    if constant or isinstance(tree, ast.BinOp | ast.List | ast.Tuple):
        _refuse(text, indent, "it gives neither True nor False; compare it with something")
    return tree


def _refuse(text: str, place: int, why: str) -> NoReturn:
    raise ConditionError(f"{shown(text)} is not a condition: character {place + 1}: {why}") from None


def _python(text: str, source: str, indent: int) -> ast.expr:
    """Return what Python makes of the source, which begins at ``indent`` in the text."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what Python has doubts about, like "\d", is refused
            return ast.parse(source, mode="eval").body
    except SyntaxError as error:
        column = error.offset or 0  # from 1; 0 where something is missing at the end
        place = indent + (column - 1 if 0 < column <= len(source) else len(source))
        word = next(filter(keyword.iskeyword, re.findall(r"\.\s*(\w+)", source)), "")
        _refuse(text, place, f"{error.msg}; " + (f"write the key {word} as [{word!r}]" if word else _EXAMPLE))
    except (MemoryError, RecursionError, ValueError, Warning):
        _refuse(text, indent, f"Python cannot parse it; {_EXAMPLE}")


def _parts(node: ast.expr) -> Sequence[ast.expr]:
    """Return the parts of an accepted expression; otherwise the error says what to write instead."""
    match node:
        case ast.Constant(value=None | bool() | int() | float() | str()) | ast.Name(id="output"):
            return ()
        case ast.Attribute(value=owner, attr=key) if not key.startswith("__"):
            return (owner,)
        case ast.Subscript(value=owner, slice=key):
            return (owner, key)
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.BoolOp(values=parts):
            return parts
        case ast.UnaryOp(op=symbol, operand=part) if type(symbol) in OPERATORS:
            return (part,)
        case ast.BinOp(left=left, op=symbol, right=right) if type(symbol) in OPERATORS:
            return (left, right)
        case ast.Compare(left=left, ops=symbols, comparators=more) if all(
            type(each) in OPERATORS for each in symbols
        ):
            return (left, *more)
        case ast.Call(func=ast.Name(id=name), args=parts, keywords=[]) if name in FUNCTIONS:
            counts = FUNCTIONS[name].counts
            if len(parts) in counts:
                return parts
            most = "at least 1" if len(counts) > 2 else " or ".join(map(str, counts))
            raise ConditionError(f"{name} of {len(parts)} values; it takes {most}")
    raise ConditionError(_refusal(node))


def _refusal(node: ast.expr) -> str:
    """Return what is wrong with an expression that is not accepted, and what to write instead."""
    match node:
        case ast.Name(id=name) if name in _CONSTANTS:
            return f"no name {name!r}; write {_CONSTANTS[name]}"
        case ast.Name(id=name):
            return f"no name {name!r}; the only one is output, for the parent's output"
        case ast.Attribute(attr=key):
            return f".{key} is not accepted; write [{key!r}] if it is a key"
        case ast.Call(func=ast.Attribute(attr=name)):
            return f"no method is accepted; the functions are {', '.join(FUNCTIONS)}, as in lower(output.text)"
        case ast.Call(func=ast.Name(id=name)) if name not in FUNCTIONS:
            return f"no function {name!r}; the functions are {', '.join(FUNCTIONS)}"
        case ast.UnaryOp(op=symbol) | ast.BinOp(op=symbol) if type(symbol) in _INSTEAD:
            return _INSTEAD[type(symbol)]
        case ast.Compare(ops=symbols) if found := [each for each in symbols if type(each) in _INSTEAD]:
            return _INSTEAD[type(found[0])]
    return _ACCEPTED
