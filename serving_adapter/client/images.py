"""An image of one model, for targets that cannot read this machine's files."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from inferline.errors import InputError
from serving_adapter.replicas.docker.connection import Connection

__all__ = ["build_model_image", "containerfile"]

_CONTAINERFILE = "Containerfile"
_MODEL = "model"
_ROOT = "root"
_CLIPPER_READY_FILE = "/model_is_ready.check"
_READY_FILE = "/tmp/inferline-ready"
"""Where a model says that it is ready. Targets look where Clipper's containers say it, in the root folder, which may
not be written by whoever the base image runs as: so a link is there."""


def build_model_image(
    version: tuple[str, str], model: Mapping[str, Any], folder: Path, base_image: str, registry: str
) -> str:
    """Build the image of a model container: a base image, with one model; return its name.

    The container engine is the one that ``DOCKER_HOST`` says, else Docker's own.

    Parameters
    ----------
    version
        Name and version of the model; what the image is called.
    model, folder
        An entry as under ``models:`` of a pipeline file, and the folder of its files, which goes along.
    base_image
        An image that holds InferLine, and what the model needs.
    registry
        Where the image is pushed to; empty to leave it with the engine.

    Raises
    ------
    InputError
        When there can be no such image.
    OutsideError
        When the engine cannot be reached, or cannot build or push it.
    """
    name, tag = version
    if name != name.lower():
        raise InputError(f"no image can be called {name!r}; they are in lower case: deploy it as {name.lower()!r}")
    image = f"{registry or 'localhost'}/{name}:{tag}"
    connection = Connection(None)
    try:
        with TemporaryFile() as context:
            with tarfile.open(fileobj=context, mode="w") as tar:
                tar.add(folder, _MODEL, filter=_readable)
                _add_text(tar, _CONTAINERFILE, containerfile(model, base_image))
                _add_link(tar, f"{_ROOT}{_CLIPPER_READY_FILE}", _READY_FILE)
            context.seek(0)
            connection.build(context, _CONTAINERFILE, image, {})
        if registry:
            connection.push(image)
    finally:
        connection.close()
    return image


def containerfile(model: Mapping[str, Any], base_image: str) -> str:
    """Return the recipe of the image; which model it is, and where the serving core is, each container is told.

    Raises
    ------
    InputError
        When the entry has what the recipe cannot say.

    Examples
    --------
    >>> print(containerfile({"directory": "."}, "localhost/inferline:latest"), end="")
    FROM localhost/inferline:latest
    COPY root/ /
    COPY model/ /model/
    ENV INFERLINE_READY_FILE=/tmp/inferline-ready INFERLINE_FOLDER=/model
    ENV INFERLINE_MODEL='{"directory": "."}'
    ENTRYPOINT ["inferline-container"]
    CMD []
    """
    entry = json.dumps(model)
    if "'" in entry:
        raise InputError(f"an image cannot say the entry {entry}: it has a quotation mark")
    return (
        f"FROM {base_image}\n"
        f"COPY {_ROOT}/ /\n"
        f"COPY {_MODEL}/ /{_MODEL}/\n"
        f"ENV INFERLINE_READY_FILE={_READY_FILE} INFERLINE_FOLDER=/{_MODEL}\n"
        f"ENV INFERLINE_MODEL='{entry}'\n"
        'ENTRYPOINT ["inferline-container"]\n'
        "CMD []\n"
    )


def _readable(about: tarfile.TarInfo) -> tarfile.TarInfo:
    """Let whoever the container runs as read it."""
    about.mode |= 0o555 if about.isdir() else 0o444
    about.uid = about.gid = 0
    about.uname = about.gname = ""
    return about


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    about = tarfile.TarInfo(name)
    about.size = len(content)
    tar.addfile(about, io.BytesIO(content))


def _add_link(tar: tarfile.TarFile, name: str, place: str) -> None:
    about = tarfile.TarInfo(name)
    about.type, about.linkname = tarfile.SYMTYPE, place
    tar.addfile(about)
