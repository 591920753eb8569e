"""Where the models that a client deploys are kept: a folder for each version, which replicas are started from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from inferline.errors import OutsideError

__all__ = ["default_folder", "new_folder", "remove_folder"]


def default_folder(environment: Mapping[str, str]) -> Path:
    """Return where models are kept: ``inferline/models`` in ``$XDG_DATA_HOME``, else in ``~/.local/share``.

    The XDG Base Directory Specification 0.8 has a relative path ignored.

    Raises
    ------
    OutsideError
        When none is set and nobody knows the user's home.

    Examples
    --------
    >>> default_folder({"XDG_DATA_HOME": "/srv/data"}).as_posix()
    '/srv/data/inferline/models'
    """
    data = Path(environment.get("XDG_DATA_HOME", ""))
    if not data.is_absolute():
        try:
            data = Path.home() / ".local" / "share"
        except RuntimeError as error:
            raise OutsideError("nobody knows where your home is; say in which folder to keep models") from error
    return data / "inferline" / "models"


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder, and remove it again when what is done with it fails.

    What a version that is no longer registered has left there goes.

    Raises
    ------
    OutsideError
        When it cannot be made.
    """
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)  # models may hold what is nobody else's business
    except OSError as error:
        reason = error.strerror or error
        raise OutsideError(f"{folder} cannot be made: {reason}; give ClipperConnection another folder") from error
    try:
        yield folder
    except BaseException:
        remove_folder(folder)
        raise


def remove_folder(folder: Path) -> None:
    """Remove a folder, and the one above it when that was its last; nothing when it is not there."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.parent.is_dir() and not os.listdir(folder.parent):
        folder.parent.rmdir()
