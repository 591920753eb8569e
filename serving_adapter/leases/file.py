"""A lease as a lock on a file, for processes of one machine."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from inferline.errors import OutsideError
from inferline.units import MAX_TIME_NS

__all__ = ["FileLease"]


class FileLease:
    """Held as long as its holder lives: the kernel gives it back when the process ends, however it does (flock(2)).

    Parameters
    ----------
    path
        The file; made when it is not there, never removed. A folder that several machines share is no place for it.
    words
        Written into it for those who come second: who has it. The number of this process when there are none.
    """

    def __init__(self, path: Path, words: str = "") -> None:
        self._path = path
        self._words = words or f"process {os.getpid()}"
        self._descriptor = -1

    def hold(self) -> int | None:
        """Take it, or find it still held; return until when, monotonic nanoseconds. None: it is another's.

        Raises
        ------
        OutsideError
            When the file cannot be made.
        """
        try:
            if self._descriptor >= 0 and not self._is_there():
                self.release()
            if self._descriptor < 0 and not self._take():
                return None
        except OSError as error:
            raise OutsideError(f"the lease {self._path} cannot be taken: {error.strerror or error}") from error
        return MAX_TIME_NS

    def _is_there(self) -> bool:
        """Whether the name still is that of our file: somebody may have removed it, and others lock the next one."""
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _take(self) -> bool:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.truncate(descriptor, 0)
            os.write(descriptor, f"{self._words}\n".encode())
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def holder(self) -> str:
        """Return what its holder has written into it, after `hold` has found it to be another's."""
        try:
            return self._path.read_text(errors="replace").strip() or "somebody"
        except OSError:
            return "somebody"

    def release(self) -> None:
        """Give it back, if it is ours."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
