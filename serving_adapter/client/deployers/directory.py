"""Deploying a Clipper model directory: a function, and beside it the model that it is called with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Unpack

from serving_adapter.client.connection import ClipperConnection
from serving_adapter.client.deployers.pickled import write_function
from serving_adapter.client.options import DeployOptions

__all__ = ["deploy_directory"]


def deploy_directory(
    connection: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: object,
    write_model: Callable[[Path], None] | None = None,
    **options: Unpack[DeployOptions],
) -> None:
    """Deploy a function, with a model of whatever kind or without one.

    Parameters
    ----------
    connection
        Where.
    name, version, input_type
        What it is called, and the type of its inputs.
    func
        The function.
    write_model
        Writes the model into a folder, under the names that `serving_adapter.models` knows its kind by; None for no
        model.
    **options
        How it is deployed.

    Raises
    ------
    InputError
        When the function cannot be pickled, or it is refused.
    OutsideError
        When its replicas do not come up; says why.
    """

    def write(folder: Path) -> Mapping[str, Any]:
        write_function(folder, func)
        if write_model is not None:
            write_model(folder)
        return {"directory": "."}

    connection.deploy_written(name, version, input_type, write, **options)
