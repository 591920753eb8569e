"""Interpreters of the peers: one virtual environment each, with exact versions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from inferline.errors import OutsideError

__all__ = ["environment", "versions"]

_HERE = Path(__file__).parent


def environment(name: str, folder: Path) -> Path:
    """Return the interpreter of an environment that has what ``requirements-<name>.txt`` says; make it if need be.

    Parameters
    ----------
    name
        Name of the peer.
    folder
        Where environments are kept; ``folder / name`` may be one that was made elsewhere.

    Raises
    ------
    OutsideError
        When it cannot be made, for instance without a network.
    """
    python = folder.absolute() / name / "bin" / "python"
    requirements = _HERE / f"requirements-{name}.txt"
    if not python.exists():
        print(f"making {python.parent.parent} from {requirements.name}: this takes minutes", file=sys.stderr)
        _run([sys.executable, "-m", "venv", str(python.parent.parent)], f"making {python.parent.parent}")
    # Asks nobody when everything is there.
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)]
    _run(install, f"installing {requirements}")
    return python


def versions(name: str) -> list[str]:
    """Return what is pinned, first of all the peer itself."""
    lines = (_HERE / f"requirements-{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _run(command: list[str], what: str) -> None:
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise OutsideError(f"{what}: {ended.stderr.strip()[-2000:]}")
