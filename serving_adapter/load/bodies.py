"""Bodies of requests: inputs from a file, or made up, as the REST interface wants them."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from inferline.domain.randomness import keyed_generator
from inferline.errors import Fault, InputError
from inferline.files.contents import read_bytes, utf8
from inferline.files.faults import cut
from inferline.files.wording import shown

__all__ = ["INPUT_TYPES", "as_input", "bodies", "made_up_inputs", "read_lines"]

INPUT_TYPES = ("integers", "floats", "doubles", "strings", "bytes")

MAX_BYTES = 2**30
"""Of a file of inputs, and about of all inputs that are made up."""

_LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz      ", dtype=np.uint8)
_BYTES_PER_NUMBER = 8
_TEXTS = ("strings", "bytes")


def bodies(inputs: Sequence[Any], key: str = "input") -> list[bytes]:
    """Return the body for each input: ``{"input": <input>}``.

    Parameters
    ----------
    inputs
        JSON values. Floats are written with a fraction or an exponent, as Clipper asks of its number types floats
        and doubles; `msgspec.Raw` stands as it is.
    key
        What to call it.

    Examples
    --------
    >>> bodies([[1.0, 2.5], "text"])
    [b'{"input":[1.0,2.5]}', b'{"input":"text"}']
    """
    return [msgspec.json.encode({key: value}) for value in inputs]


def read_lines(path: Path, convert: Callable[[Any], Any] | None = None) -> list[Any]:
    """Read JSON lines, one value each; blank lines are passed over.

    Parameters
    ----------
    path
        The file.
    convert
        Makes of each value what is wanted, or raises ValueError; None to keep each line as it stands, as
        `msgspec.Raw`.

    Raises
    ------
    InputError
        When it cannot be read, holds no value, or a line is wrong; names each line.
    """
    values: list[Any] = []
    faults: list[Fault] = []
    for number, line in enumerate(utf8(str(path), read_bytes(path, MAX_BYTES)).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = msgspec.json.decode(line)
            values.append(msgspec.Raw(line.strip().encode()) if convert is None else convert(value))
        except msgspec.DecodeError as error:
            faults.append(Fault(str(path), f"line {number}", f"is not JSON: {error}"))
        except RecursionError:
            faults.append(Fault(str(path), f"line {number}", "is nested too deeply"))
        except ValueError as error:
            faults.append(Fault(str(path), f"line {number}", str(error)))
    if faults:
        raise InputError(*cut(faults))
    if not values:
        raise InputError(Fault(str(path), "", "is empty; at least one line of JSON is needed"))
    return values


def as_input(value: Any, input_type: str) -> Any:  # noqa: ANN401 - JSON values
    """Return a JSON value as an input of that type: whole numbers of floats and doubles get their fraction.

    Raises
    ------
    ValueError
        When it is none.

    Examples
    --------
    >>> as_input([1, 2.5], "doubles")
    [1.0, 2.5]
    """
    if input_type in _TEXTS:
        if not isinstance(value, str):
            raise ValueError(f"{shown(value)} is not a text, as an input of type {input_type} is")
        return value
    kinds = (int,) if input_type == "integers" else (int, float)
    if not isinstance(value, list) or any(isinstance(x, bool) or not isinstance(x, kinds) for x in value):
        raise ValueError(f"{shown(value)} is not a flat list of numbers, as an input of type {input_type} is")
    return value if input_type == "integers" else [float(each) for each in value]


def made_up_inputs(input_type: str, shape: Sequence[int], count: int, seed: int) -> list[Any]:
    """Return inputs of a type that Clipper knows, drawn at random.

    Parameters
    ----------
    input_type
        One of `INPUT_TYPES`.
    shape
        Shape of an array of numbers: it is sent flat, as Clipper has no nested inputs. Of texts and bytes, the
        product is the length.
    count
        How many to make.
    seed
        Any integer.

    Raises
    ------
    InputError
        When that is more than 1 GiB.

    Examples
    --------
    >>> made_up_inputs("doubles", [2], 2, seed=0) == made_up_inputs("doubles", [2], 2, seed=0)
    True
    """
    size = math.prod(shape)
    if size * count * _BYTES_PER_NUMBER > MAX_BYTES:
        raise InputError(
            Fault("--shape", "x".join(map(str, shape)), f"{count:,} inputs of that size are above 1 GiB")
        )
    generator = keyed_generator(seed, "inputs", input_type)
    return [_made_up(input_type, size, generator) for _ in range(count)]


def _made_up(input_type: str, size: int, generator: np.random.Generator) -> Any:  # noqa: ANN401 - a JSON value
    if input_type == "integers":
        return generator.integers(0, 256, size).tolist()
    if input_type == "strings":
        return generator.choice(_LETTERS, size).tobytes().decode("ascii")
    if input_type == "bytes":
        return base64.b64encode(generator.bytes(size)).decode("ascii")
    # Four digits, or half of the server's time would go into reading the text of numbers.
    return generator.random(size).round(4).tolist()
