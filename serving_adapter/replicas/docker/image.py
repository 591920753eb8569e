"""The image that holds InferLine and a pipeline's folder."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import IO

from inferline.errors import Fault, InputError
from serving_adapter.replicas.docker.connection import Connection
from serving_adapter.replicas.docker.options import IMAGE

__all__ = ["build_image"]

_CONTAINERFILE = "Containerfile"
_ALWAYS = ("serve",)
"""Extras that the serving core and the metrics of replicas need."""

_LEFT_OUT = frozenset({".git", ".venv", "venv", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"})


def build_image(
    folder: Path,
    extras: Sequence[str] = (),
    tag: str = IMAGE,
    *,
    wheel: Path | None = None,
    base: str | None = None,
    url: str | None = None,
) -> str:
    """Build the image of a pipeline on an engine.

    Files that are called like those of version control, of virtual environments and of caches are left out. A
    ``requirements.txt`` in the folder is installed.

    Parameters
    ----------
    folder
        The pipeline's folder; ``/pipeline`` in the image.
    extras
        Extras of InferLine that the models need: ``onnx``, ``torch``, ``sklearn`` ...
    tag
        What the image is called.
    wheel
        A wheel of InferLine; None for this version from the package index.
    base
        Image with Python and pip to start from; None for the Containerfile's own.
    url
        Where the engine listens, as in `DockerOptions`.

    Returns
    -------
        The image's id.

    Raises
    ------
    InputError
        When the folder or the wheel is not there, or the engine's client is not installed.
    OutsideError
        When the engine cannot be reached, or the image cannot be built; with the last lines of the log.
    """
    for path, there, what in (
        (folder, folder.is_dir(), "folder"),
        (wheel, wheel is None or wheel.is_file(), "wheel"),
    ):
        if not there:
            raise InputError(Fault(str(path), "", f"there is no such {what}"))
    needed = ",".join(dict.fromkeys((*_ALWAYS, *extras)))
    package = (
        f"inferline[{needed}]=={version('inferline')}" if wheel is None else f"/opt/wheels/{wheel.name}[{needed}]"
    )
    arguments = {"PACKAGE": package} | ({} if base is None else {"BASE": base})
    connection = Connection(url)
    try:
        with tempfile.TemporaryFile() as context:
            _write_context(context, folder, wheel)
            context.seek(0)
            return connection.build(context, _CONTAINERFILE, tag, arguments)
    finally:
        connection.close()


def _write_context(context: IO[bytes], folder: Path, wheel: Path | None) -> None:
    """Write what the engine builds from: the Containerfile, the wheel and the pipeline's folder."""
    containerfile = files(__package__).joinpath(_CONTAINERFILE).read_bytes()
    with tarfile.open(fileobj=context, mode="w") as archive:
        entry = tarfile.TarInfo(_CONTAINERFILE)
        entry.size = len(containerfile)
        archive.addfile(entry, io.BytesIO(containerfile))
        for name in ("wheels", "pipeline"):
            made = tarfile.TarInfo(name)
            made.type, made.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(made)
        if wheel is not None:
            archive.add(wheel, f"wheels/{wheel.name}", filter=_anybodys)
        for path in _files(folder):
            archive.add(path, f"pipeline/{path.relative_to(folder).as_posix()}", recursive=False, filter=_anybodys)


def _files(folder: Path) -> Iterator[Path]:
    """Yield what is in a folder, folders before what is in them, each in the same order everywhere."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        for name in (*folders, *sorted(names)):
            yield Path(place) / name


def _anybodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Let the image's user read it, whoever owns it here."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mode |= 0o555 if entry.isdir() else 0o444
    return entry
