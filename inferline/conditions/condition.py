"""A condition, and how it is evaluated: simpleeval walks the tree, with a dot that means a key."""

from __future__ import annotations

import ast
import threading
from dataclasses import dataclass, field

from simpleeval import InvalidExpression, SimpleEval  # type: ignore[import-untyped]  # ships no types

from inferline.conditions.operations import FUNCTIONS, OPERATORS, ConditionError, kind
from inferline.conditions.parsing import parsed, shown

__all__ = ["Condition", "parse_condition"]

_MOST_KEYS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition, ready to be evaluated; two with the same text are equal.

    Parameters
    ----------
    text
        The expression; `inferline.conditions` says what it may be.

    Raises
    ------
    ConditionError
        When the text is no condition.
    """

    text: str
    _tree: ast.expr = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tree", parsed(self.text))

    def holds(self, output: object) -> bool:
        """Return whether the condition holds for an output; several threads may ask at once.

        Parameters
        ----------
        output
            A JSON value: None, a bool, an int, a float, a str, or a list or dict of such values. It is left as it is.

        Raises
        ------
        ConditionError
            When the output lacks a key or an item, an operator or a function does not take its values, or what comes
            out is anything but True or False; names the condition.
        """
        evaluator = _evaluator()
        evaluator.names = {"output": output}
        try:
            value = evaluator.eval(self.text, self._tree)
        except (ArithmeticError, InvalidExpression, RecursionError, TypeError, ValueError) as error:
            raise ConditionError(f"{shown(self.text)}: {error}") from error
        finally:
            evaluator.names = {}  # an output lives no longer than its query
        if not isinstance(value, bool):
            raise ConditionError(
                f"{shown(self.text)}: gives {kind(value)}, not true or false; compare it with something"
            )
        return value


def parse_condition(text: str) -> Condition:
    """Return the condition that a text says; `inferline.conditions` says what it may be.

    Raises
    ------
    ConditionError
        When the text is no condition: where (characters count from 1), why, and what would be accepted.

    Examples
    --------
    >>> unsure = parse_condition("output.confidence < 0.6 and output.label in ['cat', 'dog']")
    >>> unsure.holds({"label": "cat", "confidence": 0.41}), unsure.holds({"label": "cat", "confidence": 0.9})
    (True, False)
    >>> parse_condition("output.score < 0.6").holds({"label": "cat"})
    Traceback (most recent call last):
    inferline.conditions.operations.ConditionError: 'output.score < 0.6': output has no key 'score'; it has 'label'
    """
    return Condition(text=text)


class _Evaluator(SimpleEval):  # type: ignore[misc]  # simpleeval ships no types
    """Walks a tree that `parsed` let through: a dot is a key of an object, never an attribute of Python's."""

    def __init__(self) -> None:
        super().__init__(operators=OPERATORS, functions=FUNCTIONS, names={})
        self.nodes |= {ast.List: self._eval_list, ast.Tuple: self._eval_list}

    def _check_disallowed_items(self, item: object) -> None:
        """Let every value through: all are JSON, and to go through a large one at each step takes long."""

    def _eval_list(self, node: ast.List | ast.Tuple) -> list[object]:
        return [self._eval(each) for each in node.elts]

    def _eval_attribute(self, node: ast.Attribute) -> object:
        return _item(node.value, self._eval(node.value), node.attr)

    def _eval_subscript(self, node: ast.Subscript) -> object:
        return _item(node.value, self._eval(node.value), self._eval(node.slice))


_THREAD = threading.local()


def _evaluator() -> _Evaluator:
    """Return this thread's evaluator; it holds an output while it evaluates."""
    evaluator: _Evaluator | None = getattr(_THREAD, "evaluator", None)
    if evaluator is None:
        evaluator = _THREAD.evaluator = _Evaluator()
    return evaluator


def _item(owner: ast.expr, container: object, key: object) -> object:
    """Return the value of a key of an object, or an item of a list."""
    if type(container) is dict and type(key) is str:
        if key in container:
            return container[key]
        there = [shown(str(each)) for each in list(container)[:_MOST_KEYS]] + ["..."] * (len(container) > _MOST_KEYS)
        raise ConditionError(f"{ast.unparse(owner)} has no key {shown(key)}; it has {', '.join(there) or 'none'}")
    if type(container) is list and type(key) is int:
        if -len(container) <= key < len(container):
            return container[key]
        raise ConditionError(f"{ast.unparse(owner)} has no item {key}; it has {len(container)}, counted from 0")
    looked_for = f"key {shown(key)}" if isinstance(key, str) else f"item {key if type(key) is int else kind(key)}"
    raise ConditionError(f"{ast.unparse(owner)} is {kind(container)}, which has no {looked_for}")
