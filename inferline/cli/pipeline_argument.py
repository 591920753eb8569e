"""A deployed pipeline as an argument: its name, or its file."""

from __future__ import annotations

from pathlib import Path

from inferline.files import read_pipeline

__all__ = ["pipeline_name"]


def pipeline_name(argument: str) -> str:
    """Return the name of a pipeline: of the file when the argument is one, else the argument.

    Raises
    ------
    InputError
        When it is a file that is no pipeline file, or is called like one and is not there.
    """
    path = Path(argument)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        return read_pipeline(path).pipeline.name
    return argument
