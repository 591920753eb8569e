"""Models that are Python callables: ``f(list of inputs) -> list of outputs``.

``module:Class`` is constructed once, without arguments, when the model is loaded, and the instance is called: what is
slow to load belongs in ``__init__``, and prediction in ``__call__``.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from serving_adapter.models.entry import ModelEntry
from serving_adapter.models.loading import Model

__all__ = ["add_folder", "find_callable", "load"]


@dataclass(frozen=True, slots=True)
class CallableModel:
    """A callable as a model."""

    function: Callable[[list[Any]], Sequence[Any]]

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Call the function."""
        return self.function(list(inputs))


def load(entry: ModelEntry, threads: int) -> Model:  # noqa: ARG001 - every kind is loaded alike
    """Load a callable; see `serving_adapter.models.load_model`."""
    found = find_callable(entry)
    if not isinstance(found, type):
        return CallableModel(found)
    try:
        inspect.signature(found).bind()
    except TypeError as error:
        wanted = "it is constructed without arguments, so each needs a default"
        raise entry.fault(entry.kind, f"class {entry.target!r}: {error}; {wanted}") from error
    instance: Any = found()
    if not callable(instance):
        raise entry.fault(entry.kind, f"class {entry.target!r} has no __call__(inputs), which predicts")
    return CallableModel(instance)


def add_folder(entry: ModelEntry) -> None:
    """Have modules found that lie beside the pipeline file; they come before installed ones."""
    folder = str(entry.folder.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)


def find_callable(entry: ModelEntry) -> Callable[..., Any]:
    """Return the callable that ``module:function`` names; modules beside the pipeline file are found.

    Raises
    ------
    InputError
        When the module is not there or cannot be imported, or has no such callable.
    """
    module_name, _, path = entry.target.partition(":")
    add_folder(entry)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise entry.fault(entry.kind, _missing(entry, module_name, str(error.name))) from error
    except Exception as error:
        # The module's own code runs, and may raise anything; whatever it is, the module has to be put right.
        raise entry.fault(entry.kind, f"cannot import {module_name!r}: {type(error).__name__}: {error}") from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise entry.fault(entry.kind, f"module {module_name!r} has no {path!r}")
        found = getattr(found, part)
    if not callable(found):
        raise entry.fault(entry.kind, f"{entry.target!r} is a {type(found).__name__}, not a callable")
    function: Callable[..., Any] = found
    return function


def _missing(entry: ModelEntry, wanted: str, missing: str) -> str:
    if wanted == missing or wanted.startswith(missing + "."):
        return f"no module {missing!r} in {entry.folder.resolve()} or among the installed packages"
    return f"module {wanted!r} imports {missing!r}, which is not installed"
