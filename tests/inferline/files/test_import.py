"""What reading files costs before any file is read."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import inferline.files


def test_optional_clients_are_not_imported():
    code = (
        "import sys; from inferline.files import load, write_plan, write_profiles; "
        "print(*{'pandas', 'pyarrow', 'scipy', 'simpy', 'numba'}.intersection(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == []


def test_no_module_has_the_name_of_a_public_function():
    # Importing such a module would put it in the place of the function.
    modules = {module.name for module in pkgutil.iter_modules(inferline.files.__path__)}
    assert not modules.intersection(inferline.files.__all__)


def test_every_public_name_is_there():
    assert dir(inferline.files) == sorted(inferline.files.__all__)
    assert all(getattr(inferline.files, name) is not None for name in inferline.files.__all__)
    assert not hasattr(inferline.files, "read_everything")
