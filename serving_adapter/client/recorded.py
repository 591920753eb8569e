"""What is recorded with a version of a model at the server, so that any client can start more of its replicas."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from inferline.domain import Hardware
from inferline.errors import InputError
from serving_adapter.frontend.admin_fields import READABLE_TYPES
from serving_adapter.models import ModelEntry
from serving_adapter.replicas import ReplicaSet

__all__ = ["Deployed", "checked_name", "read_deployed", "readable_type"]

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")

_CONTAINER = "container"
_OURS = "inferline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What the replicas of a version run, and on what.

    Parameters
    ----------
    model
        An entry as under ``models:`` of a pipeline file, with its input type.
    folder
        Where the entry's files and modules are.
    hardware
        What each replica gets.
    """

    model: dict[str, Any]
    folder: str
    hardware: Hardware

    @property
    def container_name(self) -> str:
        """The image, or who runs the model."""
        return str(self.model.get(_CONTAINER, _OURS))

    @property
    def text(self) -> str:
        """The text that is recorded, in the field that Clipper once kept a path in."""
        return msgspec.json.encode(self).decode()

    def replica_set(self, deployment: str, name: str, version: str, replicas: int) -> ReplicaSet:
        """Return so many of its replicas."""
        entry = ModelEntry.from_document(name, self.model, Path(self.folder) / "model")
        return ReplicaSet(
            deployment=deployment,
            stage=name,
            model=name,
            version=version,
            entry=replace(entry, file=f"{name}:{version}"),  # what faults name
            hardware=self.hardware,
            replicas=replicas,
        )


def read_deployed(text: str) -> Deployed | None:
    """Read what `Deployed.text` wrote; None when it is something else: the model was registered otherwise.

    Examples
    --------
    >>> deployed = Deployed(model={"onnx": "a.onnx"}, folder="/models", hardware=Hardware(
    ...     name="cpu-1", price_nano_usd_per_hour=0))
    >>> read_deployed(deployed.text) == deployed, read_deployed("DEPRECATED")
    (True, None)
    """
    try:
        return msgspec.json.decode(text, type=Deployed)
    except (msgspec.MsgspecError, RecursionError):
        return None


def checked_name(what: str, value: str | int) -> str:
    """Return a name or a version as a text.

    Raises
    ------
    InputError
        When targets could not take it: not a letter or digit first and last, others than letters, digits, ``.``,
        ``_`` and ``-`` between, or more than 63 characters.

    Examples
    --------
    >>> checked_name("version", 2)
    '2'
    """
    text = str(value)
    if not _NAME.fullmatch(text):
        accepted = "letters and digits, with '.', '_' and '-' between them, 63 characters at most"
        raise InputError(f"{what} {text!r} cannot be deployed; accepted are {accepted}")
    return text


def readable_type(input_type: str) -> str:
    """Return the whole name of an input type.

    Raises
    ------
    InputError
        When there is no such type.

    Examples
    --------
    >>> readable_type("d"), readable_type("strings")
    ('doubles', 'strings')
    """
    if input_type not in READABLE_TYPES:
        known = ", ".join(dict.fromkeys(READABLE_TYPES.values()))
        raise InputError(f"{input_type!r} is not a type of inputs; there are {known}")
    return READABLE_TYPES[input_type]
