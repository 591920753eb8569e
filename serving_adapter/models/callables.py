"""Models that are Python callables: ``f(list of inputs) -> list of outputs``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from serving_adapter.models.entry import ModelEntry
from serving_adapter.models.loading import Model

__all__ = ["find_callable", "load"]


@dataclass(frozen=True, slots=True)
class CallableModel:
    """A callable as a model."""

    function: Callable[[list[Any]], Sequence[Any]]

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Call the function."""
        return self.function(list(inputs))


def load(entry: ModelEntry, threads: int) -> Model:  # noqa: ARG001 - every kind is loaded alike
    """Load a callable; see `serving_adapter.models.load_model`."""
    return CallableModel(find_callable(entry))


def find_callable(entry: ModelEntry) -> Callable[..., Any]:
    """Return the callable that ``module:function`` names; modules beside the pipeline file are found."""
    module_name, _, path = entry.target.partition(":")
    folder = str(entry.folder.resolve())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise entry.fault(entry.kind, f"cannot import {module_name!r}: {error}") from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise entry.fault(entry.kind, f"module {module_name!r} has no {path!r}")
        found = getattr(found, part)
    if not callable(found):
        raise entry.fault(entry.kind, f"{entry.target!r} is a {type(found).__name__}, not a callable")
    function: Callable[..., Any] = found
    return function
