"""The model that a container's process is told to serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from inferline.domain.pipeline import MODEL_KINDS
from inferline.errors import Fault, InputError
from serving_adapter.models import Model, ModelEntry, clipper_directory, load_model
from serving_adapter.rpc.runtime_settings import RuntimeSettings

__all__ = ["load", "read_entry"]

_SOURCE = "INFERLINE_MODEL"
_INPUT_TYPES = ("bytes", "integers", "floats", "doubles", "strings")


def load(settings: RuntimeSettings, threads: int) -> tuple[Model, str]:
    """Load the model; return it with the type of its inputs.

    Raises
    ------
    InputError
        When the settings or the model are wrong; an `ImportError` is its cause when a module is missing.
    ImportError
        When a Clipper directory is of a kind that is not loaded here.
    OutsideError, MemoryError
        As `serving_adapter.models.load_model`.
    """
    if settings.model is not None:
        entry = read_entry(settings.name, settings.model, settings.folder)
        return load_model(entry, threads), settings.input_type or entry.input_type
    return clipper_directory.load(settings.path or Path(), threads), settings.input_type or "doubles"


def read_entry(name: str, raw: Mapping[str, Any], folder: Path) -> ModelEntry:
    """Check an entry as under ``models:`` of a pipeline file.

    Raises
    ------
    InputError
        When it names no model that can be loaded here; says what would be accepted.

    Examples
    --------
    >>> read_entry("m", {"onnx": "m.onnx", "shape": [2]}, Path("models")).options
    {'shape': [2]}
    """
    kinds = [kind for kind in MODEL_KINDS if raw.get(kind) is not None]
    loaded = [kind for kind in MODEL_KINDS if kind != "container"]
    if len(kinds) != 1 or kinds == ["container"]:
        got = " and ".join(kinds) or "none of them"
        raise _fault("", f"expects exactly one of {', '.join(loaded)}; got {got}")
    kind = kinds[0]
    for key in (kind, *(key for key in ("device", "input_type") if raw.get(key) is not None)):
        if not isinstance(raw[key], str):
            raise _fault(key, f"expects a text; got {raw[key]!r}")
    if kind in {"callable", "pytorch"} and not all(raw[kind].partition(":")):
        raise _fault(kind, f"expects module:function; got {raw[kind]!r}")
    if raw.get("input_type") not in {None, *_INPUT_TYPES}:
        raise _fault("input_type", f"expects one of {', '.join(_INPUT_TYPES)}; got {raw['input_type']!r}")
    return replace(ModelEntry.from_document(name, raw, folder / _SOURCE), file=_SOURCE)


def _fault(where: str, message: str) -> InputError:
    return InputError(Fault(_SOURCE, where, message))
