"""What the command line imports before it is asked for anything."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"numba", "numpy", "pandas", "simpy", "scipy", "pydantic", "yaml", "rich", "matplotlib"}


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ended.stdout.split())


def test_help_imports_nothing_heavy():
    statement = (
        "sys.argv = ['inferline', '--help']\ntry:\n from inferline.cli import main; main()\nexcept SystemExit: pass"
    )
    assert not modules_after(statement) & HEAVY


def test_importing_inferline_imports_nothing_heavy():
    assert not modules_after("import inferline") & HEAVY


@pytest.mark.parametrize("verb", ["plan", "simulate"])
def test_planning_never_imports_what_it_does_not_need(verb):
    # Numba looks whether SciPy is there, which costs nothing; its parts are not imported.
    assert not modules_after(f"import inferline.cli.{verb}") & {"pandas", "simpy", "matplotlib"}
