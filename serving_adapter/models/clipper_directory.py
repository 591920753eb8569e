"""Model directories that Clipper's deployers write: a pickled function, and the model it is called with.

=================  =====================================================  =========================
written by         holds beside ``func.pkl``                              the function is
=================  =====================================================  =========================
``python``         nothing                                                ``f(inputs)``
``pytorch``        ``pytorch_model.pkl``, ``pytorch_weights.pkl``         ``f(model, inputs)``
``onnx``           ``model.onnx``                                         ``f(model, inputs)``
``pyspark``        ``metadata.json``, ``pyspark_model_data``              ``f(spark, model, inputs)``
=================  =====================================================  =========================

Clipper's containers of R were programs of their own; a directory of R holds what `serving_adapter.models.r` says, in
place of ``func.pkl``. Modules in ``modules/`` are found. Inputs come as in Clipper's own containers, see
`clipper_batch`; what the function returns, one value per input, is turned into texts by ``str``.

Loading a pickle runs whatever code is in it. It is unpickled here and nowhere else, in the process of the replica
that serves it; load no directory that you would not run.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferline.errors import Fault, InputError
from serving_adapter.models import onnx, pyspark, r
from serving_adapter.models.entry import ModelEntry
from serving_adapter.models.loading import Model

__all__ = ["DirectoryModel", "PreparedModel", "clipper_batch", "load"]

_FUNCTION = "func.pkl"
_MODULE = "pytorch_model.pkl"
_WEIGHTS = "pytorch_weights.pkl"
_ONNX = "model.onnx"

_ELSEWHERE = {
    "keras_model.h5": ("Keras", "keras"),
    "tfmodel": ("TensorFlow", "tensorflow"),
    "mxnet_model_metadata.json": ("MXNet", "mxnet"),
}
"""What gives the directories of the other deployers away, and the library that their containers load."""

_EXTRAS = {
    "cloudpickle": "callable",
    "torch": "torch",
    "onnxruntime": "onnx",
    "sklearn": "sklearn",
    "pyspark": "pyspark",
}

_AGES = (
    "cloudpickle stores functions as bytecode, so the Python that loads them must be of the version that wrote them, "
    "which may not be {}.{}: deploy the function again from there"
)


@dataclass(frozen=True, slots=True)
class DirectoryModel:
    """A function of a batch as Clipper's containers call it."""

    function: Callable[[NDArray[Any]], Any]

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Call the function; its outputs become texts."""
        outputs = self.function(clipper_batch(inputs))
        # Anything else is no list of outputs, and refused as it is: its parts, as texts, might pass for one.
        return [str(each) for each in outputs] if isinstance(outputs, list | tuple | np.ndarray) else outputs


@dataclass(frozen=True, slots=True)
class PreparedModel:
    """A session of ONNX Runtime, with the call that ONNX backends have and with its own.

    The function of a Clipper directory was written for the prepared model of an ONNX backend (Caffe2).
    """

    session: Any

    def run(self, inputs: object, feed: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        """Run the model.

        Parameters
        ----------
        inputs
            The array of the only input, arrays by position in a list, or arrays by name. With `feed`: the names of
            the outputs, or None for all.
        feed
            Arrays by name, as ONNX Runtime takes them.

        Returns
        -------
            The outputs, in order.

        Raises
        ------
        ValueError
            When there are more inputs or fewer than the model takes.
        """
        if feed is not None:
            return tuple(self.session.run(inputs, feed))
        if not isinstance(inputs, Mapping):
            names = [each.name for each in self.session.get_inputs()]
            arrays = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
            if len(arrays) != len(names):
                raise ValueError(f"{len(arrays)} inputs for a model that takes {', '.join(map(repr, names))}")
            inputs = dict(zip(names, arrays, strict=True))
        return tuple(self.session.run(None, inputs))

    def get_inputs(self) -> Sequence[Any]:
        """Return what ONNX Runtime says about the inputs."""
        described: Sequence[Any] = self.session.get_inputs()
        return described

    def get_outputs(self) -> Sequence[Any]:
        """Return what ONNX Runtime says about the outputs."""
        described: Sequence[Any] = self.session.get_outputs()
        return described


def clipper_batch(inputs: Sequence[Any]) -> NDArray[Any]:
    r"""Return a batch as the functions of Clipper directories expect it.

    Arrays of one length become one array (batch, length); of several, an array of arrays. Bytes are numbers from -128
    to 127. Strings are an array of bytes objects, in UTF-8.

    Examples
    --------
    >>> clipper_batch([np.array([1.0, 2.0]), np.array([3.0, 4.0])])
    array([[1., 2.],
           [3., 4.]])
    >>> clipper_batch(["a", "ü"])
    array([b'a', b'\xc3\xbc'], dtype=object)
    """
    if any(isinstance(each, str) for each in inputs):
        return _objects([each.encode() for each in inputs])
    arrays = [np.frombuffer(each, dtype=np.int8) if isinstance(each, bytes) else each for each in inputs]
    return np.stack(arrays) if len({len(each) for each in arrays}) == 1 else _objects(arrays)


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):  # assigned at once, they would be broadcast
        array[place] = value
    return array


def load(folder: Path, threads: int) -> Model:
    """Load a model directory.

    Parameters
    ----------
    folder
        The directory.
    threads
        Threads that PyTorch, ONNX Runtime, Spark and R may compute with.

    Raises
    ------
    InputError
        When it is no such directory, or something in it cannot be loaded; its cause is an `ImportError` when a module
        is missing.
    ImportError
        When it is of a kind that this container does not load: Keras, TensorFlow, MXNet.
    OutsideError
        When R or Spark does not start, or cannot read the model.
    """
    if (folder / r.FUNCTION).is_file():
        return r.load(folder, threads)
    if not (folder / _FUNCTION).is_file():
        made = "Clipper's deployers write such directories"
        raise InputError(
            Fault(str(folder), "", f"holds no {_FUNCTION}; {made}, and INFERLINE_MODEL names other models")
        )
    for name, (library, package) in _ELSEWHERE.items():
        if (folder / name).exists():
            advice = f"serve it with Clipper's own {library} container, or as a callable of INFERLINE_MODEL"
            raise ImportError(f"{folder / name}: {library} models are not supported here; {advice}", name=package)
    modules = str((folder / "modules").resolve())
    if modules not in sys.path:
        sys.path.append(modules)
    function = _unpickled(folder / _FUNCTION)
    if not callable(function):
        raise InputError(
            Fault(str(folder / _FUNCTION), "", f"holds an object of type {type(function).__name__}, not a function")
        )
    if (folder / _MODULE).is_file():
        return DirectoryModel(partial(function, _pytorch(folder, threads)))
    if (folder / _ONNX).is_file():
        return DirectoryModel(partial(function, _onnx(folder, threads)))
    if (folder / pyspark.MODEL).exists():
        return DirectoryModel(partial(function, *pyspark.load(folder, threads)))
    return DirectoryModel(function)


def _pytorch(folder: Path, threads: int) -> object:
    try:
        import torch  # noqa: PLC0415 - optional
    except ImportError as error:
        raise InputError(Fault(str(folder / _MODULE), "", _missing(error))) from error
    torch.set_num_threads(threads)
    module = _unpickled(folder / _MODULE)
    try:
        # No more is trusted than before: func.pkl may run anything already.
        weights = torch.load(folder / _WEIGHTS, map_location="cpu", weights_only=False)
        module.load_state_dict(weights)
    except Exception as error:
        raise InputError(Fault(str(folder / _WEIGHTS), "", f"cannot be loaded: {_said(error)}")) from error
    return module


def _onnx(folder: Path, threads: int) -> PreparedModel:
    entry = ModelEntry(name=folder.resolve().name, kind="onnx", target=_ONNX, folder=folder, file=str(folder))
    loaded: Any = onnx.load(entry, threads)
    return PreparedModel(loaded.session)


def _unpickled(path: Path) -> Any:  # noqa: ANN401 - whatever is in it
    try:
        with path.open("rb") as stream:
            return pickle.load(stream)
    except ImportError as error:
        raise InputError(Fault(str(path), "", _missing(error))) from error
    except Exception as error:
        # What is unpickled runs, and may raise anything.
        message = f"cannot be loaded: {_said(error)}; {_AGES.format(*sys.version_info[:2])}"
        raise InputError(Fault(str(path), "", message)) from error


def _missing(error: ImportError) -> str:
    package = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError):
        return f"cannot be loaded: {_said(error)}"
    if package in _EXTRAS:
        return f"needs {package}: pip install 'inferline[{_EXTRAS[package]}]'"
    return f"needs module {error.name!r}, which is not installed; install it, or put it into modules/ beside"


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
