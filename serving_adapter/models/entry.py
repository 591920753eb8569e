"""An entry under ``models:`` of the pipeline file, as the rest of this package reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inferline.domain.pipeline import MODEL_KINDS
from inferline.errors import Fault, InputError

__all__ = ["ModelEntry"]

_GENERAL = frozenset({"input_type", "sample", "device"})
_CLIPPER = frozenset({"container", "directory"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """How to run one model.

    Parameters
    ----------
    name
        Name of the model.
    kind
        One of `inferline.domain.pipeline.MODEL_KINDS`.
    target
        What that kind names: ``module:function``, a file, an image, a URL.
    input_type
        ``bytes``, ``integers``, ``floats``, ``doubles`` or ``strings`` as the REST interface knows them; ``json``
        (when the file says nothing) hands the model any JSON value, and travels as a string. Containers and model
        directories take ``doubles`` then, as Clipper's own do.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.
    sample
        File of inputs as JSON lines, from the pipeline file's folder; None for none.
    folder
        Folder of the pipeline file: relative files and modules are found from here.
    file
        The pipeline file, to name in faults.
    options
        Every other key of the entry: ``shape``, ``timeout``, ``command`` ...
    """

    name: str
    kind: str
    target: str
    input_type: str = "json"
    device: str = "auto"
    sample: Path | None = None
    folder: Path = field(default_factory=Path)
    file: str = "pipeline.yaml"
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_document(cls, name: str, raw: Mapping[str, Any], pipeline: Path) -> ModelEntry:
        """Read an entry that `inferline.files.read_pipeline` has checked."""
        kind = next(kind for kind in MODEL_KINDS if raw.get(kind) is not None)
        sample = raw.get("sample")
        return cls(
            name=name,
            kind=kind,
            target=raw[kind],
            input_type=cls.input_type_of(raw),
            device=raw.get("device") or "auto",
            sample=None if sample is None else pipeline.parent / sample,
            folder=pipeline.parent,
            file=str(pipeline),
            options={key: value for key, value in raw.items() if key not in _GENERAL and key != kind},
        )

    def document(self, *, own_accelerators: bool) -> dict[str, Any]:
        """Return the entry as it stands in a pipeline file, for a replica elsewhere.

        Parameters
        ----------
        own_accelerators
            Whether the replica sees accelerators of its own and no others: it then counts them from 0.
        """
        device = "cuda" if own_accelerators and self.device.startswith("cuda:") else self.device
        typed = {} if self.input_type == "json" else {"input_type": self.input_type}
        return {self.kind: self.target, "device": device, **typed, **self.options}

    @staticmethod
    def input_type_of(raw: Mapping[str, Any]) -> str:
        """Return the input type of an entry as it stands in the file; ``json`` without one."""
        named: str | None = raw.get("input_type")
        return named or ("doubles" if any(raw.get(kind) is not None for kind in _CLIPPER) else "json")

    def fault(self, key: str, message: str) -> InputError:
        """Return the error that names this entry's key in the pipeline file."""
        return InputError(Fault(self.file, f"models.{self.name}.{key}", message))
