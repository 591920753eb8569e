"""The outputs of a batch, with the batch as their first axis, as one output per input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["rows", "rows_of_several", "rows_of_unnamed"]


def rows(output: Any, count: int, name: str = "the output") -> list[Any]:  # noqa: ANN401 - whatever a model gives
    """Return an array, or a list, as one value per input.

    Raises
    ------
    ValueError
        When its first axis is not as long as the batch.
    """
    if isinstance(output, np.ndarray) and output.shape[:1] != (count,):
        got = f"has shape {output.shape}"
    elif not isinstance(output, np.ndarray | list):
        got = f"is a {type(output).__name__}"
    elif len(output) != count:
        got = f"has {len(output)} elements"
    else:
        return list(output)
    raise ValueError(f"{name} {got} for a batch of {count}; its first axis must be the batch")


def rows_of_several(outputs: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """Return several outputs, by name, as one object per input.

    Examples
    --------
    >>> rows_of_several({"a": [1, 2], "b": ["x", "y"]}, 2)
    [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'y'}]
    """
    columns = [rows(output, count, f"output {name!r}") for name, output in outputs.items()]
    return [{name: column[place] for name, column in zip(outputs, columns, strict=True)} for place in range(count)]


def rows_of_unnamed(outputs: Sequence[Any], count: int) -> list[list[Any]]:
    """Return several outputs without names as one list per input.

    Examples
    --------
    >>> rows_of_unnamed(([1, 2], [3, 4]), 2)
    [[1, 3], [2, 4]]
    """
    columns = [rows(output, count, f"output {place}") for place, output in enumerate(outputs)]
    return [[column[place] for column in columns] for place in range(count)]
