"""From an entry to a model that predicts."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Protocol

from inferline.errors import InferlineError, OutsideError
from serving_adapter.models.devices import is_memory_error
from serving_adapter.models.entry import ModelEntry

__all__ = ["Model", "load_model"]

_HOME = {
    "callable": "serving_adapter.models.callables",
    "pytorch": "serving_adapter.models.pytorch",
    "onnx": "serving_adapter.models.onnx",
    "sklearn": "serving_adapter.models.sklearn",
    "directory": "serving_adapter.models.directory",
    "http": "serving_adapter.models.http",
}
"""Module of each kind; it has ``load(entry, threads) -> Model``. A container runs elsewhere and is not loaded."""


class Model(Protocol):
    """A loaded model."""

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Return one output per input, in order: any value that JSON can hold, or NumPy arrays of such.

        When it returns, the work is done: a model on an accelerator has synchronised.
        """


def load_model(entry: ModelEntry, threads: int) -> Model:
    """Load a model into this process.

    Parameters
    ----------
    entry
        What to load; not of kind ``container``.
    threads
        Threads that it may compute with.

    Raises
    ------
    InputError
        When the entry is wrong: no such file, module or function, a package that is not installed (names the extra).
    OutsideError
        When it is right and loading fails all the same.
    MemoryError
        When that is because memory has run out, on the host or on a device.
    """
    module = importlib.import_module(_HOME[entry.kind])
    try:
        model: Model = module.load(entry, threads)
    except InferlineError:
        raise
    except Exception as error:
        if is_memory_error(error):
            raise MemoryError(f"model {entry.name!r}: {error}") from error
        reason = f"{type(error).__name__}: {error}"
        raise OutsideError(f"model {entry.name!r}: cannot be loaded: {reason}") from error
    return model
