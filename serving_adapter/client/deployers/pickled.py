"""Objects written for another process of the same Python, with modules that they need and nobody installs there."""

from __future__ import annotations

import pickletools
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from inferline.errors import InputError

__all__ = ["FUNCTION", "local_modules", "write_function", "write_pickle"]

FUNCTION = "func.pkl"
"""The function of a Clipper model directory."""

_MODULES = "modules"
_OURS = frozenset({"inferline", "profiler", "simulator", "planner", "tuner", "serving_adapter"})
_INSTALLED = {"site-packages", "dist-packages"}
_LIBRARY = tuple(Path(sysconfig.get_paths()[name]).resolve() for name in ("stdlib", "platstdlib"))


def write_function(folder: Path, function: object) -> None:
    """Write the function of a model directory, and its modules into ``modules/``.

    Raises
    ------
    InputError
        When it is no function, or cannot be pickled.
    """
    if not callable(function):
        raise InputError(f"a {type(function).__name__} cannot be deployed as a function; give one that can be called")
    write_pickle(folder, FUNCTION, function, folder / _MODULES)


def write_pickle(folder: Path, name: str, value: object, modules: Path) -> None:
    """Write an object with cloudpickle; what it refers to in modules that are not installed goes along.

    Parameters
    ----------
    folder, name
        Where.
    value
        The object. Functions and classes of ``__main__``, and those within functions, are written as they are; others
        by the name of their module.
    modules
        Folder of those modules.

    Raises
    ------
    InputError
        When it cannot be pickled.
    """
    try:
        import cloudpickle  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise InputError("deploying Python objects needs cloudpickle: pip install 'inferline[callable]'") from error
    try:
        pickled: bytes = cloudpickle.dumps(value)
    except Exception as error:
        # What is pickled says itself how, and may raise anything.
        raise InputError(f"{name}: cannot be pickled: {type(error).__name__}: {error}") from error
    (folder / name).write_bytes(pickled)
    for module in local_modules(pickled):
        _copy(module, modules)


def local_modules(pickled: bytes) -> tuple[ModuleType, ...]:
    """Return the outermost modules that a pickle may need, and that are neither installed nor Python's own.

    Every text in the pickle that is the name of an imported module counts: a function's own imports are among them.
    Modules that such a module uses count too.
    """
    found: dict[str, ModuleType] = {}
    seen: set[str] = set()
    pending = list(_named(pickled))
    while pending:
        name = pending.pop()
        if name in seen or not _is_local(name):
            continue
        seen.add(name)
        outermost = name.partition(".")[0]
        found[outermost] = sys.modules[outermost]
        pending += _used(sys.modules[name])
    return tuple(found[name] for name in sorted(found))


def _named(pickled: bytes) -> Iterator[str]:
    for _, argument, _ in pickletools.genops(pickled):
        if isinstance(argument, str):
            yield from argument.split(" ")[:1]  # protocols up to 3 write "module name" in one


def _used(module: ModuleType) -> Iterator[str]:
    """Yield the names of the modules that a module has got something from, and of those below it."""
    for value in list(vars(module).values()):
        if isinstance(value, ModuleType):
            yield value.__name__
        else:
            owner = getattr(value, "__module__", None)
            if isinstance(owner, str):
                yield owner
    yield from (name for name in list(sys.modules) if name.startswith(f"{module.__name__}."))


def _is_local(name: str) -> bool:
    outermost = name.partition(".")[0]
    if name == "__main__" or outermost in _OURS or outermost not in sys.modules:
        return False
    file = getattr(sys.modules.get(name), "__file__", None)
    if not isinstance(file, str):
        return False
    path = Path(file).resolve()
    return not _INSTALLED & set(path.parts) and not any(path.is_relative_to(folder) for folder in _LIBRARY)


def _copy(module: ModuleType, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    inside: Any = getattr(module, "__path__", None)
    if inside is None:
        file = Path(str(module.__file__))
        shutil.copy(file, folder / file.name)
    else:
        ignored = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(next(iter(inside)), folder / module.__name__, ignore=ignored, dirs_exist_ok=True)
