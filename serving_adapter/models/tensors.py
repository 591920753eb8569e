"""The inputs of a batch as tensors; alike for every kind of model that takes tensors.

Along its first axis a tensor has the batch. Inputs of one batch that differ in length are padded with zeros on the
right of each axis (texts with empty ones) to the longest of the batch, and the outputs are those of the padded
inputs: a model that must know the true lengths takes them, or a mask, as another input.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving_adapter.models.entry import ModelEntry

__all__ = ["TensorInput", "batch_tensors", "declared_input", "read_shapes", "stack"]

TEXT = np.dtype(object)
"""Type of the elements of a tensor of texts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInput:
    """What a model expects of one of its inputs.

    Parameters
    ----------
    name
        What it is called; empty when it has no name.
    dtype
        Type of its elements; ``object`` stands for texts.
    dims
        Shape of what one query gives, None where any length will do; None as a whole when the model does not say.
    shape
        What that is reshaped to first, may have one -1; None for nothing.
    single
        Whether the model takes one query at a time.
    """

    name: str
    dtype: np.dtype[Any]
    dims: tuple[int | None, ...] | None = None
    shape: tuple[int, ...] | None = None
    single: bool = False

    def wrong(self, got: str) -> ValueError:
        """Return the error that says what is expected, and what came instead."""
        of = f"input {self.name!r}: " if self.name else ""
        shape = "" if self.dims is None else f" of shape {_shown(self.dims)} for each query"
        return ValueError(f"{of}expects {'text' if self.dtype == TEXT else self.dtype}{shape}; got {got}")


def declared_input(
    entry: ModelEntry, name: str, dtype: np.dtype[Any], dims: Sequence[int | None], shape: tuple[int, ...] | None
) -> TensorInput:
    """Return an input that a model declares with the batch as its first axis; no dimensions stand for any.

    Raises
    ------
    InputError
        When the model takes batches of one size only, other than 1.
    """
    if not dims:
        return TensorInput(name=name, dtype=dtype, shape=shape)
    if dims[0] not in {None, 1}:
        got = f"input {name!r} takes batches of exactly {dims[0]}"
        raise entry.fault(entry.kind, f"{got}; its first dimension must be dynamic, or 1")
    return TensorInput(name=name, dtype=dtype, dims=tuple(dims[1:]), shape=shape, single=dims[0] == 1)


def batch_tensors(expected: Sequence[TensorInput], inputs: Sequence[Any]) -> dict[str, NDArray[Any]]:
    """Return the tensors of a batch by name.

    With one expected input each of `inputs` is its array; with several, each is an object of arrays by name.

    Raises
    ------
    ValueError
        When an input does not fit; says what the model expects.
    """
    if len(expected) == 1:
        return {expected[0].name: stack(inputs, expected[0])}
    names = {each.name for each in expected}
    for given in inputs:
        got = f"one with {_listed(given)}" if isinstance(given, Mapping) else type(given).__name__
        if not isinstance(given, Mapping) or given.keys() != names:
            raise ValueError(f"expects an object with {_listed(names)}; got {got}")
    return {each.name: stack([given[each.name] for given in inputs], each) for each in expected}


def stack(values: Sequence[Any], expected: TensorInput) -> NDArray[Any]:
    """Return one tensor (batch, ...), padded to the longest where lengths differ.

    Parameters
    ----------
    values
        Arrays, nested lists, numbers, texts or bytes; at least one. A flat array is reshaped to what is expected when
        that can be done in one way only. Numbers are converted to the expected type; where that is one of whole
        numbers, what it cannot hold is refused, not rounded.
    expected
        What each must be like.

    Raises
    ------
    ValueError
        When a value is no array, or of another type or shape.

    Examples
    --------
    >>> stack([[1, 2], [3]], TensorInput(name="x", dtype=np.dtype("float32"))).tolist()
    [[1.0, 2.0], [3.0, 0.0]]
    """
    arrays = [_fitted(_reshaped(_array(value, expected), expected), expected) for value in values]
    shapes = {array.shape for array in arrays}
    if len(shapes) == 1:
        return np.stack(arrays)
    if len({len(shape) for shape in shapes}) > 1:
        raise expected.wrong(f"shapes {', '.join(map(_shown, sorted(shapes)))} in one batch")
    longest = np.max([*shapes], axis=0)
    padded = np.full((len(arrays), *longest), "" if expected.dtype == TEXT else 0, dtype=expected.dtype)
    for place, array in zip(padded, arrays, strict=True):
        place[tuple(slice(length) for length in array.shape)] = array
    return padded


def _array(value: Any, expected: TensorInput) -> NDArray[Any]:  # noqa: ANN401 - a JSON value
    text = expected.dtype == TEXT
    if isinstance(value, bytes):
        value = _decoded(value, expected) if text else np.frombuffer(value, dtype=np.uint8)
    try:
        array = np.asarray(value, dtype=TEXT if text else None)
    except ValueError as error:
        raise expected.wrong("lists of unequal lengths within one input") from error
    if text:
        if not all(isinstance(each, str) for each in array.flat):
            raise expected.wrong(_kind(value))
        return array
    if array.dtype.kind not in "biuf":
        raise expected.wrong(_kind(value))
    with np.errstate(all="ignore"):
        converted = array.astype(expected.dtype, copy=False)
    exact = expected.dtype.kind == "f" or np.can_cast(array.dtype, expected.dtype)
    if not exact and not np.array_equal(converted, array):
        raise expected.wrong(f"{array.dtype} that it cannot hold")
    return converted


def _decoded(value: bytes, expected: TensorInput) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise expected.wrong("bytes that are not UTF-8") from error


def _kind(value: object) -> str:
    """Return what a value is, for people: its type, and the types of its elements."""
    if not isinstance(value, list):
        return type(value).__name__
    return "list of " + " and ".join(sorted({type(each).__name__ for each in np.asarray(value, dtype=TEXT).flat}))


def _reshaped(array: NDArray[Any], expected: TensorInput) -> NDArray[Any]:
    if expected.shape is None:
        return array
    try:
        return array.reshape(expected.shape)
    except ValueError as error:
        got = f"{array.size} elements, which option shape {list(expected.shape)} cannot hold"
        raise expected.wrong(got) from error


def _fitted(array: NDArray[Any], expected: TensorInput) -> NDArray[Any]:
    dims = expected.dims
    if dims is None:
        return array
    if array.ndim == len(dims) and all(want in {None, got} for want, got in zip(dims, array.shape, strict=True)):
        return array
    fixed = prod(each for each in dims if each is not None)
    free = dims.count(None)
    if array.ndim <= 1 and free <= 1 and fixed and (array.size % fixed == 0 if free else array.size == fixed):
        return array.reshape([-1 if each is None else each for each in dims])
    hint = " (option shape says what a flat input stands for)" if array.ndim == 1 and free > 1 else ""
    raise expected.wrong(f"shape {_shown(array.shape)}{hint}")


def read_shapes(entry: ModelEntry, names: Sequence[str] = ()) -> dict[str, tuple[int, ...]]:
    """Read option ``shape``: what inputs are reshaped to first, without the batch.

    Parameters
    ----------
    entry
        Its option is a list for the only input of a model, or an object of lists by the names of its inputs.
    names
        Of the inputs; none when they are not known, and the only input is then ``""``.

    Raises
    ------
    InputError
        When it is something else.
    """
    given = entry.options.get("shape")
    if given is None:
        return {}
    if isinstance(given, Mapping) and (not names or given.keys() <= set(names)):
        return {name: _read_shape(entry, f"shape.{name}", each) for name, each in given.items()}
    if len(names) > 1 or isinstance(given, Mapping):
        raise entry.fault("shape", f"expects an object of lists with {_listed(names)}; got {given!r}")
    return {(names[0] if names else ""): _read_shape(entry, "shape", given)}


def _read_shape(entry: ModelEntry, key: str, given: object) -> tuple[int, ...]:
    if isinstance(given, list) and all(type(each) is int and each >= -1 for each in given) and given.count(-1) <= 1:
        return tuple(given)
    wanted = "expects a list of whole numbers, one of which may be -1, like [3, 224, 224]"
    raise entry.fault(key, f"{wanted}; got {given!r}")


def _shown(dims: Sequence[int | None]) -> str:
    return f"({', '.join('?' if each is None else str(each) for each in dims)})"


def _listed(names: Iterable[object]) -> str:
    return ", ".join(sorted(map(repr, names))) or "nothing"
