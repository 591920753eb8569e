"""PyTorch modules, made by a function that the entry names.

What the module is called with follows from the inputs of the batch:

* numbers, lists of numbers, arrays: one tensor (batch, ...), padded as `serving_adapter.models.tensors` says and
  reshaped to option ``shape`` first; float32 when any is a fraction and int64 when none is, or option ``dtype``;
* objects of such, all with the same keys: a tensor per key, as keyword arguments;
* anything else (texts, other JSON): the list of inputs as it is.

It returns a tensor (batch, ...), a tuple or a list of such, or an object of such; or a list with one value per input.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving_adapter.models.callables import find_callable
from serving_adapter.models.devices import is_memory_error, pick_device
from serving_adapter.models.entry import ModelEntry
from serving_adapter.models.loading import Model
from serving_adapter.models.outputs import rows, rows_of_several, rows_of_unnamed
from serving_adapter.models.tensors import TensorInput, read_shapes, stack

__all__ = ["load"]

_DTYPES = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")


@dataclass(frozen=True, slots=True, kw_only=True)
class PytorchModel:
    """A PyTorch module as a model."""

    torch: Any
    module: Any
    device: Any
    dtype: np.dtype[Any] | None
    shapes: Mapping[str, tuple[int, ...]]

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Call the module; its outputs are copied to the host, which waits for the device.

        Raises
        ------
        ValueError
            When the inputs of the batch do not fit together, or the outputs do not fit the batch.
        MemoryError
            When memory has run out, on the host or on the device.
        """
        try:
            with self.torch.inference_mode():
                output = self._on_host(self._call(inputs))
                if self.device.type == "cuda":
                    self.torch.cuda.synchronize(self.device)
        except RuntimeError as error:
            if is_memory_error(error):
                raise MemoryError(str(error)) from error
            raise
        return _rows(output, len(inputs))

    def _call(self, inputs: Sequence[Any]) -> object:
        if all(isinstance(each, Mapping) for each in inputs):
            keys = inputs[0].keys()
            if keys and all(each.keys() == keys for each in inputs):
                columns = {key: _numbers([each[key] for each in inputs]) for key in keys}
                numeric = {key: column for key, column in columns.items() if column is not None}
                if len(numeric) == len(columns):
                    return self.module(**{key: self._tensor(column, key) for key, column in numeric.items()})
        else:
            arrays = _numbers(inputs)
            if arrays is not None:
                return self.module(self._tensor(arrays))
        return self.module(list(inputs))

    def _tensor(self, arrays: Sequence[NDArray[Any]], name: str = "") -> object:
        dtype = self.dtype
        if dtype is None:
            kinds = {array.dtype.kind for array in arrays}
            dtype = np.dtype(np.float32 if "f" in kinds else np.bool_ if kinds == {"b"} else np.int64)
        expected = TensorInput(name=name, dtype=dtype, shape=self.shapes.get(name))
        return self.torch.from_numpy(stack(arrays, expected)).to(self.device)

    def _on_host(self, value: Any) -> Any:  # noqa: ANN401 - whatever a module returns
        """Return the same with arrays instead of tensors, and plain containers."""
        if isinstance(value, self.torch.Tensor):
            tensor = value.detach().cpu()
            return (tensor.float() if tensor.dtype == self.torch.bfloat16 else tensor).numpy()
        if isinstance(value, Mapping):
            return {key: self._on_host(each) for key, each in value.items()}
        if isinstance(value, tuple):
            return tuple(self._on_host(each) for each in value)
        if isinstance(value, list):
            return [self._on_host(each) for each in value]
        return value


def load(entry: ModelEntry, threads: int) -> Model:
    """Make a PyTorch module; see `serving_adapter.models.load_model`.

    ``module:function`` is called without arguments and returns a ``torch.nn.Module``; a class of modules will do.
    """
    try:
        import torch  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise entry.fault("pytorch", "needs torch: pip install 'inferline[torch]'") from error
    torch.set_num_threads(threads)
    number = pick_device(entry, torch.cuda.device_count(), "PyTorch finds no CUDA device")
    device = torch.device("cpu" if number is None else f"cuda:{number}")
    dtype = entry.options.get("dtype")
    if dtype is not None and dtype not in _DTYPES:
        raise entry.fault("dtype", f"{dtype!r} is no type of numbers; write one of {', '.join(_DTYPES)}")
    shapes = read_shapes(entry)
    module = find_callable(entry)()
    if not isinstance(module, torch.nn.Module):
        got = type(module).__name__
        raise entry.fault("pytorch", f"{entry.target!r} returned a {got}; it must return a torch.nn.Module")
    return PytorchModel(
        torch=torch,
        module=module.to(device).eval(),
        device=device,
        dtype=None if dtype is None else np.dtype(dtype),
        shapes=shapes,
    )


def _numbers(values: Sequence[Any]) -> list[NDArray[Any]] | None:
    """Return numbers as arrays; None when any value is something else."""
    arrays = []
    for value in values:
        if not isinstance(value, list | np.ndarray | np.generic | int | float):
            return None
        try:
            array = np.asarray(value)
        except ValueError:  # lists of unequal lengths
            return None
        if array.dtype.kind not in "biuf":
            return None
        arrays.append(array)
    # An empty list says nothing about the type of its elements.
    some = next((array.dtype for array in arrays if array.size), None)
    return [array if array.size or some is None else array.astype(some) for array in arrays]


def _rows(output: Any, count: int) -> Sequence[Any]:  # noqa: ANN401 - whatever a module returns
    if isinstance(output, dict):
        return rows_of_several(output, count)
    if isinstance(output, tuple | list) and output and all(isinstance(each, np.ndarray) for each in output):
        return rows_of_unnamed(output, count)
    return rows(output, count)
