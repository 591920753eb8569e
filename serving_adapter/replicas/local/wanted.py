"""What a supervisor is to keep running, and the file that outlives it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from inferline.errors import OutsideError
from serving_adapter.replicas.local.messages import decode, encode
from serving_adapter.replicas.protocol import CoreAddress, CoreOptions, ReplicaSet, SetKey

__all__ = ["Asked", "Wanted", "read_wanted", "write_wanted"]

_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A set of replicas, and the serving core that they serve."""

    replicas: ReplicaSet
    core: CoreAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """All that a deployment is to have.

    Parameters
    ----------
    core
        The serving core, its ports chosen; None for none.
    sets
        The sets, each key once.
    format
        Of the file.
    """

    core: CoreOptions | None = None
    sets: tuple[Asked, ...] = ()
    format: int = _FORMAT

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been asked for, not even a set of no replicas."""
        return self.core is None and not self.sets

    def having(self, asked: Asked) -> Wanted:
        """Return it with a set added, or put in the place of the former one."""
        key = asked.replicas.key
        if not any(each.replicas.key == key for each in self.sets):
            return replace(self, sets=(*self.sets, asked))
        return replace(self, sets=tuple(asked if each.replicas.key == key else each for each in self.sets))

    def without(self, key: SetKey) -> Wanted:
        """Return it without a set."""
        return replace(self, sets=tuple(each for each in self.sets if each.replicas.key != key))


def read_wanted(path: Path) -> Wanted:
    """Read the file; nothing is wanted when there is none.

    Raises
    ------
    OutsideError
        When it cannot be read, or says something else.
    """
    try:
        wanted = decode(path.read_bytes(), Wanted)
    except FileNotFoundError:
        return Wanted()
    except (OSError, ValueError) as error:
        raise OutsideError(f"{path} cannot be read ({error}); remove it to forget what was deployed") from error
    if wanted.format != _FORMAT:
        raise OutsideError(f"{path} has format {wanted.format}, this version reads {_FORMAT}; remove it to forget it")
    return wanted


def write_wanted(path: Path, wanted: Wanted) -> None:
    """Write the file in one step; remove it when nothing is wanted.

    Raises
    ------
    OutsideError
        When it cannot be written; the former one is still there.
    """
    partial = path.with_suffix(".partial")
    try:
        if wanted.is_empty:
            path.unlink(missing_ok=True)
            return
        with partial.open("wb") as file:
            file.write(encode(wanted))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise OutsideError(f"{path} cannot be written: {error.strerror or error}; nothing was changed") from error
