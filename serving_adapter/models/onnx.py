"""ONNX models, run by ONNX Runtime.

What a query's input is: the array of the model's only input (nested lists, or a flat array that is reshaped to option
``shape`` if that is given, else to the model's own dimensions), or an object of arrays by name when it has several.
What comes back is the row of the only output, or an object of rows by name.

A batch is stacked along the first axis and padded as `serving_adapter.models.tensors` says. A model whose first
dimension is fixed to 1 is run once per input: batches do not make it faster.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from serving_adapter.models.devices import is_memory_error, pick_device
from serving_adapter.models.entry import ModelEntry
from serving_adapter.models.loading import Model
from serving_adapter.models.outputs import rows, rows_of_several
from serving_adapter.models.tensors import TensorInput, batch_tensors, declared_input, read_shapes

__all__ = ["load"]

_PACKAGE = "package:"
_CUDA = "CUDAExecutionProvider"

_DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(double)": np.dtype(np.float64),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(bool)": np.dtype(np.bool_),
    "tensor(string)": np.dtype(object),
    **{f"tensor({name})": np.dtype(name) for name in ("int8", "int16", "int32", "int64")},
    **{f"tensor({name})": np.dtype(name) for name in ("uint8", "uint16", "uint32", "uint64")},
}
"""NumPy's type for each element type that an input may have, by ONNX Runtime's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxModel:
    """A session of ONNX Runtime as a model."""

    session: Any
    inputs: tuple[TensorInput, ...]
    outputs: tuple[str, ...]

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Run the batch, or each input on its own; a session returns when its device is done.

        Raises
        ------
        ValueError
            When an input does not fit; says what the model expects.
        MemoryError
            When memory has run out, on the host or on the device.
        """
        if any(each.single for each in self.inputs):
            return [self._run([each])[0] for each in inputs]
        return self._run(inputs)

    def _run(self, inputs: Sequence[Any]) -> list[Any]:
        tensors = batch_tensors(self.inputs, inputs)
        try:
            values = self.session.run(None, tensors)
        except Exception as error:
            if is_memory_error(error):
                raise MemoryError(str(error)) from error
            raise
        if len(values) == 1:
            return rows(values[0], len(inputs), f"output {self.outputs[0]!r}")
        return rows_of_several(dict(zip(self.outputs, values, strict=True)), len(inputs))


def load(entry: ModelEntry, threads: int) -> Model:
    """Load an ONNX file; see `serving_adapter.models.load_model`.

    The file is found from the pipeline file's folder; ``package:NAME/path/model.onnx`` is a file of an installed
    package. Threads compute within one operator; operators run one after another.
    """
    try:
        import onnxruntime  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise entry.fault("onnx", "needs onnxruntime: pip install 'inferline[onnx]'") from error
    path = _find(entry)
    available = _CUDA in onnxruntime.get_available_providers()
    # ONNX Runtime does not count devices; what it was built for it may still not find, which shows below.
    lacking = "this ONNX Runtime is built without CUDA (package onnxruntime-gpu has it)"
    device = pick_device(entry, sys.maxsize if available else 0, lacking)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    providers: list[Any] = ["CPUExecutionProvider"]
    if device is not None:
        providers.insert(0, (_CUDA, {"device_id": device}))
    state = onnxruntime.capi.onnxruntime_pybind11_state
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    except (state.InvalidProtobuf, state.InvalidGraph, state.InvalidArgument, state.NotImplemented) as error:
        raise entry.fault("onnx", f"{path} is no model that ONNX Runtime can run: {error}") from error
    if entry.device.startswith("cuda") and _CUDA not in session.get_providers():
        raise entry.fault("device", f"ONNX Runtime cannot use {entry.device} here; auto takes the CPU then")
    return _model(entry, session)


def _find(entry: ModelEntry) -> Path:
    if entry.target.startswith(_PACKAGE):
        package, _, inside = entry.target.removeprefix(_PACKAGE).partition("/")
        # Looked up, not imported: the package's own code may be slow to load, or need what is not there.
        spec = find_spec(package) if package.isidentifier() else None
        if spec is None or not spec.submodule_search_locations:
            raise entry.fault("onnx", f"no installed package {package!r}; write package:NAME/path/in/it.onnx")
        path = Path(spec.submodule_search_locations[0], inside)
    else:
        path = entry.folder / entry.target
    if not path.is_file():
        raise entry.fault("onnx", f"no file {path}")
    return path


def _model(entry: ModelEntry, session: Any) -> OnnxModel:  # noqa: ANN401 - ONNX Runtime has no types
    declared = session.get_inputs()
    shapes = read_shapes(entry, [each.name for each in declared])
    inputs = []
    for each in declared:
        if each.type not in _DTYPES:
            raise entry.fault("onnx", f"input {each.name!r} is a {each.type}; accepted are {', '.join(_DTYPES)}")
        # Symbols such as "batch" stand for any length.
        dims = [length if isinstance(length, int) else None for length in each.shape]
        inputs.append(declared_input(entry, each.name, _DTYPES[each.type], dims, shapes.get(each.name)))
    outputs = tuple(each.name for each in session.get_outputs())
    return OnnxModel(session=session, inputs=tuple(inputs), outputs=outputs)
