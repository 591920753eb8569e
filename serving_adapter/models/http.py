"""Models behind a server that speaks the Open Inference Protocol, version 2 (KServe, Triton, MLServer, OpenVINO).

The URL is the model's own, ``http://host:port/v2/models/NAME``. Its metadata say what the inputs are called and what
they look like; where a server gives none, options ``input_name``, ``datatype`` and ``shape`` do, for a model with one
input. Inputs and outputs are those of `serving_adapter.models.onnx`, texts as ``BYTES``. A model whose first
dimension is 1 is asked once per input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.json import decode, encode
from numpy.typing import NDArray

from inferline.errors import OutsideError, UnitError
from inferline.units import NANO, parse_duration_ns
from serving_adapter.models.entry import ModelEntry
from serving_adapter.models.loading import Model
from serving_adapter.models.outputs import rows, rows_of_several
from serving_adapter.models.tensors import TensorInput, batch_tensors, declared_input, read_shapes

if TYPE_CHECKING:
    import httpx

__all__ = ["load"]

_DTYPES: dict[str, np.dtype[Any]] = {
    "BYTES": np.dtype(object),
    "BOOL": np.dtype(np.bool_),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    **{f"INT{bits}": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
}
"""NumPy's type for each of the protocol's that JSON can carry; texts are objects."""

_DATATYPES = {dtype: name for name, dtype in _DTYPES.items()}

_OF_INPUT_TYPE = {"integers": "INT32", "floats": "FP32", "doubles": "FP64", "strings": "BYTES"}
"""Datatype where neither the server nor the entry says one."""

_SHOWN = 300
"""Characters of a server's answer that a message shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpModel:
    """A model behind a URL; `client` is open as long as the model is used."""

    client: httpx.Client
    name: str
    url: str
    inputs: tuple[TensorInput, ...]

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Have the server predict the batch.

        Raises
        ------
        ValueError
            When an input does not fit; says what the model expects.
        OutsideError
            When the server does not answer in time, or answers something else than one output per input.
        """
        if any(each.single for each in self.inputs):
            return [self._infer([each])[0] for each in inputs]
        return self._infer(inputs)

    def _infer(self, inputs: Sequence[Any]) -> list[Any]:
        tensors = batch_tensors(self.inputs, inputs)
        request = {"inputs": [_tensor_document(name, array) for name, array in tensors.items()]}
        tried = f"POST {self.url}/infer with a batch of {len(inputs)}"
        answer = _document(_send(self.client, self.name, tried, f"{self.url}/infer", request), self.name, tried)
        try:
            outputs = {each["name"]: _array(each) for each in answer["outputs"]}
            if len(outputs) == 1:
                return rows(next(iter(outputs.values())), len(inputs))
            return rows_of_several(outputs, len(inputs))
        except (KeyError, TypeError, ValueError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else error
            raise _failure(self.name, tried, f"its answer is no prediction of this batch: {reason}") from error


def load(entry: ModelEntry, threads: int) -> Model:  # noqa: ARG001 - the server computes
    """Connect to a model server; see `serving_adapter.models.load_model`.

    Option ``timeout`` is how long to wait at most for the server to accept a connection, to take the request, and to
    go on with its answer, each; ``30s`` when it is not given.
    """
    try:
        import httpx  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise entry.fault("http", "needs httpx: pip install 'inferline[http]'") from error
    url = entry.target.rstrip("/")
    try:
        timeout_ns = parse_duration_ns(entry.options.get("timeout", "30s"))
    except UnitError as error:
        raise entry.fault("timeout", str(error)) from error
    if not timeout_ns:
        raise entry.fault("timeout", "is 0; a timeout is longer")
    client = httpx.Client(timeout=timeout_ns / NANO)
    try:
        inputs = _expected_inputs(entry, client, url)
    except BaseException as error:
        client.close()
        if isinstance(error, httpx.InvalidURL):
            raise entry.fault("http", f"{entry.target!r} is no URL: {error}") from error
        raise
    return HttpModel(client=client, name=entry.name, url=url, inputs=inputs)


def _expected_inputs(entry: ModelEntry, client: httpx.Client, url: str) -> tuple[TensorInput, ...]:
    """Return what the options say that the model expects, else what its metadata say."""
    tried = f"GET {url}"
    response = _send(client, entry.name, tried, url)
    if entry.options.get("input_name") is not None:
        return (_input_of_options(entry),)
    advice = "options input_name, datatype and shape say what it takes where the server does not"
    if response.status_code == 404:
        raise entry.fault("http", f"{tried}: no such model, or no metadata of it; {advice}")
    given = _document(response, entry.name, tried).get("inputs")
    if not given:
        raise entry.fault("http", f"{tried}: the metadata name no inputs; {advice}")
    try:
        inputs = {str(each["name"]): (str(each["datatype"]), [int(n) for n in each["shape"]]) for each in given}
    except (KeyError, TypeError, ValueError) as error:
        raise _failure(entry.name, tried, f"its inputs are not of this protocol: {str(given)[:_SHOWN]}") from error
    shapes = read_shapes(entry, list(inputs))
    return tuple(_input_of_metadata(entry, name, *each, shapes.get(name)) for name, each in inputs.items())


def _input_of_options(entry: ModelEntry) -> TensorInput:
    name = str(entry.options["input_name"])
    datatype = str(entry.options.get("datatype", _OF_INPUT_TYPE.get(entry.input_type)))
    if datatype not in _DTYPES:
        raise entry.fault("datatype", f"expects one of {', '.join(_DTYPES)}; got {datatype!r}")
    return TensorInput(name=name, dtype=_DTYPES[datatype], shape=read_shapes(entry, [name]).get(name))


def _input_of_metadata(
    entry: ModelEntry, name: str, datatype: str, dims: list[int], shape: tuple[int, ...] | None
) -> TensorInput:
    if datatype not in _DTYPES:
        raise entry.fault("http", f"input {name!r} is {datatype}; accepted are {', '.join(_DTYPES)}")
    lengths = [None if length < 0 else length for length in dims]
    return declared_input(entry, name, _DTYPES[datatype], lengths, shape)


def _tensor_document(name: str, array: NDArray[Any]) -> dict[str, Any]:
    """Return a tensor as the protocol writes it: the elements in one list, row after row."""
    datatype = _DATATYPES[array.dtype]
    return {"name": name, "shape": array.shape, "datatype": datatype, "data": array.reshape(-1).tolist()}


def _array(output: Mapping[str, Any]) -> NDArray[Any]:
    """Return an output, whose elements may be nested or in one list; fractions keep their digits."""
    dtype = object if output["datatype"] == "BYTES" else None
    return np.asarray(output["data"], dtype=dtype).reshape([int(length) for length in output["shape"]])


def _send(client: httpx.Client, name: str, tried: str, url: str, request: object = None) -> httpx.Response:
    import httpx  # noqa: PLC0415 - optional

    try:
        if request is None:
            return client.get(url)
        return client.post(url, content=encode(request), headers={"Content-Type": "application/json"})
    except httpx.TimeoutException as error:
        raise _failure(name, tried, f"no answer within {client.timeout.read:g} s (option timeout)") from error
    except httpx.HTTPError as error:
        raise _failure(name, tried, f"{error or type(error).__name__}") from error


def _document(response: httpx.Response, name: str, tried: str) -> dict[str, Any]:
    if response.status_code != 200:
        raise _failure(name, tried, f"status {response.status_code}: {response.text[:_SHOWN]}")
    try:
        document = decode(response.content)
    except ValueError as error:
        raise _failure(name, tried, f"its answer is not JSON ({error}): {response.text[:_SHOWN]}") from error
    if not isinstance(document, dict):
        raise _failure(name, tried, f"its answer is no JSON object: {response.text[:_SHOWN]}")
    return document


def _failure(name: str, tried: str, reason: str) -> OutsideError:
    return OutsideError(f"model {name!r}: {tried}: {reason}")
