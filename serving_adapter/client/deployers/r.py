"""Deploying a model of R, with a function that calls it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from inferline.errors import InputError
from serving_adapter.client.connection import ClipperConnection
from serving_adapter.client.deployers.endpoint import register_and_link
from serving_adapter.client.options import DeployOptions, EndpointOptions
from serving_adapter.models.r import FUNCTION, MODEL

__all__ = ["create_endpoint", "deploy_r_model"]


def deploy_r_model(
    connection: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: str | Path,
    model_file: str | Path | None = None,
    **options: Unpack[DeployOptions],
) -> None:
    """Deploy a function of R, and a model that it is called with.

    Parameters
    ----------
    connection
        Where.
    name, version
        What it is called; the version is new.
    input_type
        Type of its inputs.
    func
        Source in R, or a file of it (a `Path`), whose last value is ``function(model, inputs)``. The inputs are a
        list of numeric, integer or raw vectors, or of strings; it returns a list or vector with one output per input,
        or a matrix with one row per input.
    model_file
        What ``saveRDS`` wrote; None when the function needs none, and is called with NULL.
    **options
        How it is deployed.

    Raises
    ------
    InputError
        When a file is missing, or it is refused.
    OutsideError
        When its replicas do not come up; says why.
    """
    files = [func] if isinstance(func, Path) else []
    files += [] if model_file is None else [Path(model_file)]
    for file in files:
        if not file.is_file():
            raise InputError(f"no file {file}")

    def write(folder: Path) -> Mapping[str, Any]:
        if isinstance(func, Path):
            shutil.copy(func, folder / FUNCTION)
        else:
            (folder / FUNCTION).write_text(func)
        if model_file is not None:
            shutil.copy(model_file, folder / MODEL)
        return {"directory": "."}

    connection.deploy_written(name, version, input_type, write, **options)


def create_endpoint(
    connection: ClipperConnection,
    name: str,
    input_type: str,
    func: str | Path,
    model_file: str | Path | None = None,
    **options: Unpack[EndpointOptions],
) -> None:
    """Register an application, deploy a function of R under the same name, and link them; see `deploy_r_model`."""

    def deploy(version: str | int, rest: DeployOptions) -> None:
        deploy_r_model(connection, name, version, input_type, func, model_file, **rest)

    register_and_link(connection, name, input_type, deploy, **options)
