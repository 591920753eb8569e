"""What a model is fed while it is measured: its sample file, or inputs made up from the shape it says."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from inferline.errors import Fault, InputError
from inferline.files.contents import read_bytes, utf8
from inferline.files.faults import cut
from inferline.files.wording import shown
from serving_adapter.models import ModelEntry, load_model
from serving_adapter.models.tensors import TensorInput, read_shapes
from serving_adapter.rpc.values import wire_input

__all__ = ["MAX_SAMPLES", "MAX_SAMPLE_BYTES", "Inputs", "drawn", "frames_of", "own_inputs"]

MAX_SAMPLES = 10_000
"""Most lines of a sample file."""

MAX_SAMPLE_BYTES = 256 * 2**20

MAX_ELEMENTS = 2**28
"""Most numbers, characters or bytes of all made-up inputs of a model together."""

_TEXTS = ("strings", "bytes")
_DECLARING = ("onnx", "http")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Inputs of one stage that come from outside of the pipeline.

    Parameters
    ----------
    values
        JSON values, or bytes; at least one.
    made_up
        Whether they are synthesised: good for a latency, not for what a model would say of real ones.
    """

    values: Sequence[Any]
    made_up: bool = False


def own_inputs(entry: ModelEntry, count: int, seed: int) -> Inputs:
    """Return the inputs of a model that need no other model: of its sample file, or made up.

    Made up are texts and bytes of option ``length``; arrays of numbers of option ``shape`` (an object of such for
    several inputs), or of the shapes and types that an ONNX model or a model server declares.

    Parameters
    ----------
    entry
        The model.
    count
        How many to make up.
    seed
        Seed of what is made up.

    Raises
    ------
    InputError
        With every fault of the sample file; or when there is no sample and nothing says what to make up.
    OutsideError
        When a model server does not say what it takes.
    """
    if entry.sample is not None:
        return Inputs(values=read_samples(entry))
    return Inputs(values=_made_up(entry, count, seed), made_up=True)


def read_samples(entry: ModelEntry) -> list[Any]:
    """Read a model's sample file: JSON lines, one input each; blank lines are passed over.

    Raises
    ------
    InputError
        When it cannot be read, is too large or empty, or a line is no input of the model's type; names each line.
    """
    file = str(entry.sample)
    text = utf8(file, read_bytes(file, MAX_SAMPLE_BYTES))
    values: list[Any] = []
    faults: list[Fault] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        if len(values) + len(faults) == MAX_SAMPLES:
            raise InputError(Fault(file, f"line {number}", f"is beyond {MAX_SAMPLES} inputs, the most accepted"))
        try:
            value = msgspec.json.decode(line)
            wire_input(value, entry.input_type)
            values.append(value)
        except msgspec.DecodeError as error:
            faults.append(Fault(file, f"line {number}", f"is not JSON: {error}"))
        except ValueError as error:
            faults.append(Fault(file, f"line {number}", str(error)))
        except RecursionError:
            faults.append(Fault(file, f"line {number}", "is nested too deeply"))
    if faults:
        raise InputError(*cut(faults))
    if not values:
        raise InputError(Fault(file, "", "holds no inputs; it needs at least one line of JSON"))
    return values


def frames_of(entry: ModelEntry, values: Sequence[Any], where: str) -> list[bytes]:
    """Return inputs as they travel to a replica.

    Parameters
    ----------
    entry
        The model.
    values
        JSON values or bytes.
    where
        Whose outputs they are, to say when one is not of the model's type.

    Raises
    ------
    InputError
        When one is not.
    """
    frames = []
    for value in values:
        try:
            frames.append(wire_input(value, entry.input_type))
        except ValueError as error:
            message = f"{entry.input_type} are expected, and {where}: {error}; the first such value is {shown(value)}"
            raise entry.fault("input_type", message) from error
    return frames


def drawn(values: Sequence[Any], count: int, seed: int) -> list[Any]:
    """Return at most so many of the values, drawn without replacement, in their own order."""
    if len(values) <= count:
        return list(values)
    places = np.random.default_rng(seed).choice(len(values), size=count, replace=False)
    return [values[place] for place in sorted(places.tolist())]


def _made_up(entry: ModelEntry, count: int, seed: int) -> list[Any]:
    if entry.input_type in _TEXTS or (entry.input_type == "json" and "length" in entry.options):
        return list(_texts(entry, count, seed))
    tensors = _tensors(entry)
    numbers = sum(math.prod(shape) for _, _, shape in tensors)
    if count * numbers > MAX_ELEMENTS:
        raise entry.fault("shape", f"{count} inputs of {numbers} numbers are more than is made up; give sample:")
    generator = np.random.default_rng(seed)
    values = [{name: _array(generator, kind, shape) for name, kind, shape in tensors} for _ in range(count)]
    if len(tensors) == 1:
        return [array for (array,) in (value.values() for value in values)]
    return values


def _array(generator: np.random.Generator, kind: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return numbers that the type can hold: fractions in [0, 1), whole numbers from 0 to 99, truths."""
    if kind == "f":
        # Four digits, or half of the time would go into reading the text of numbers.
        return generator.random(shape).round(4)
    return generator.integers(0, 100, size=shape) if kind in "iu" else generator.random(shape) < 0.5


def _tensors(entry: ModelEntry) -> list[tuple[str, str, tuple[int, ...]]]:
    """Return name, kind of number (f, i, u, b) and shape of each array that makes up one input."""
    declared = _declared(entry)
    tensors: list[tuple[str, str, Sequence[int | None] | None]]
    if declared is None:
        number = _kind_of_number(entry)
        tensors = [(name, number, shape) for name, shape in read_shapes(entry).items()]
    else:
        tensors = [(each.name, each.dtype.kind, each.shape or each.dims) for each in declared]
    known = []
    for name, kind, shape in tensors:
        if kind not in "fiub":
            raise entry.fault("sample", f"missing; input {name!r} is of texts, which only a sample says")
        if shape is None or any(length is None or length < 1 for length in shape):
            of = f" of input {name!r}" if name else ""
            message = f"{_shape_words(shape)}{of} leaves lengths open; give sample:, or shape: with all of them"
            raise entry.fault("shape", message)
        known.append((name, kind, tuple(length for length in shape if length is not None)))
    if not known:
        message = "missing; give sample: (JSON lines, one input each), or shape: to make up arrays of numbers"
        raise entry.fault("sample", message)
    return known


def _kind_of_number(entry: ModelEntry) -> str:
    dtype = str(entry.options.get("dtype"))  # of a PyTorch module's inputs
    if dtype == "bool":
        return "b"
    return "i" if entry.input_type == "integers" or dtype.startswith(("int", "uint")) else "f"


def _declared(entry: ModelEntry) -> tuple[TensorInput, ...] | None:
    """Return what the model itself says of its inputs, if it is of a kind that does."""
    if entry.kind not in _DECLARING:
        return None
    # On the CPU: what is asked here must not take the memory of the device that is measured on.
    model = load_model(replace(entry, device="cpu"), 1)
    inputs: tuple[TensorInput, ...] = getattr(model, "inputs", ())
    return inputs


def _shape_words(shape: Sequence[int | None] | None) -> str:
    return "no shape" if shape is None else str([-1 if length is None else length for length in shape])


def _texts(entry: ModelEntry, count: int, seed: int) -> Iterator[str | bytes]:
    length = entry.options.get("length")
    if length is None:
        raise entry.fault("sample", f"missing; give sample:, or length: to make up {entry.input_type} of that length")
    most = MAX_ELEMENTS // count
    if isinstance(length, bool) or not isinstance(length, int) or not 1 <= length <= most:
        raise entry.fault("length", f"{shown(length)} is not a whole number from 1 to {most}")
    source = random.Random(seed)
    for _ in range(count):
        if entry.input_type == "bytes":
            yield source.randbytes(length)
        else:
            # Letters in words of some five: what tokenisers and language detectors take without complaint.
            yield "".join(source.choices("abcdefghijklmnopqrstuvwxyz     ", k=length))
