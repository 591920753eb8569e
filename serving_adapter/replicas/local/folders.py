"""Where a deployment is kept: a folder of its own, whatever its name is."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from inferline.errors import OutsideError

__all__ = [
    "CONTROL",
    "LOCK",
    "LOGS",
    "READY",
    "STATE",
    "SUPERVISOR_LOG",
    "WANTED",
    "file_name",
    "home",
    "make_folder",
]

CONTROL = "control.sock"
LOCK = "lock"
LOGS = "logs"
READY = "ready"
STATE = "state.db"
SUPERVISOR_LOG = "supervisor.log"
WANTED = "wanted.json"

_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_DIGEST = re.compile(r"-[0-9a-f]{12}\Z")


def home(environment: Mapping[str, str]) -> Path:
    """Return where deployments are kept.

    ``$INFERLINE_HOME``, else ``inferline`` in ``$XDG_STATE_HOME``, else in ``~/.local/state`` (XDG Base Directory
    Specification 0.8, which has a relative path ignored).

    Raises
    ------
    OutsideError
        When none is set and nobody knows the user's home.

    Examples
    --------
    >>> home({"INFERLINE_HOME": "/srv/inferline", "XDG_STATE_HOME": "/var"}).as_posix()
    '/srv/inferline'
    >>> home({"XDG_STATE_HOME": "/var/state"}).as_posix()
    '/var/state/inferline'
    """
    if environment.get("INFERLINE_HOME"):
        return Path(environment["INFERLINE_HOME"]).absolute()
    state = Path(environment.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():
        try:
            state = Path.home() / ".local" / "state"
        except RuntimeError as error:
            raise OutsideError("nobody knows where your home is; set INFERLINE_HOME to a folder of yours") from error
    return state / "inferline"


def file_name(name: str) -> str:
    """Return a name for a file or folder: the same where that is safe, else one with a digest.

    Different names have different ones, and none leads out of a folder.

    Examples
    --------
    >>> file_name("cascade-2"), file_name("../Cascade")
    ('cascade-2', '_Cascade-9212fb1da474')
    """
    if _PLAIN.fullmatch(name) and not _DIGEST.search(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{re.sub('[^A-Za-z0-9]+', '_', name)[:40] or '_'}-{digest}"


def make_folder(folder: Path) -> None:
    """Make the folder of a deployment, where it is not there: nobody else may look into it.

    Raises
    ------
    OutsideError
        When it cannot be made, or is somebody else's.
    """
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
            raise OutsideError(f"{folder} is a link, or somebody else's; set INFERLINE_HOME to a folder of yours")
        if stat.S_IMODE(about.st_mode) & 0o077:
            folder.chmod(0o700)
        for name in (LOGS, READY):
            (folder / name).mkdir(exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise OutsideError(f"{folder} cannot be made: {reason}; set INFERLINE_HOME to a folder of yours") from error
