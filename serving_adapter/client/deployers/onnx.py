"""Deploying an ONNX model, with a function that calls it or without one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Unpack

from inferline.errors import InputError
from serving_adapter.client.connection import ClipperConnection
from serving_adapter.client.deployers.endpoint import register_and_link
from serving_adapter.client.deployers.pickled import write_function
from serving_adapter.client.options import DeployOptions, EndpointOptions

__all__ = ["create_endpoint", "deploy_onnx_model"]

_FILE = "model.onnx"

Function = Callable[[Any, Any], Any]


def deploy_onnx_model(
    connection: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Function | None,
    onnx_model: Any,  # noqa: ANN401 - a file, or what ONNX has in memory
    **options: Unpack[DeployOptions],
) -> None:
    """Deploy an ONNX model, which ONNX Runtime runs.

    Parameters
    ----------
    connection
        Where.
    name, version
        What it is called; the version is new.
    input_type
        Type of its inputs.
    func
        Takes the model and a batch, as in `deploy_python_closure`; returns one output per input. The model has
        ``run(array)``, which returns a tuple, and ONNX Runtime's own ``run``. None to have the batch reshaped to what
        the model takes, and its output returned row by row.
    onnx_model
        A file, the bytes of one, or an ``onnx.ModelProto``.
    **options
        How it is deployed.

    Raises
    ------
    InputError
        When it is no model, the function cannot be pickled, or it is refused.
    OutsideError
        When its replicas do not come up; says why.
    """
    file = onnx_model if isinstance(onnx_model, str | Path) else None
    if file is not None and not Path(file).is_file():
        raise InputError(f"no file {file}")
    if file is None and not isinstance(onnx_model, bytes) and not hasattr(onnx_model, "SerializeToString"):
        raise InputError(f"a {type(onnx_model).__name__} is no ONNX model; give a file, its bytes or a ModelProto")

    def write(folder: Path) -> Mapping[str, Any]:
        if file is not None:
            shutil.copy(file, folder / _FILE)
        else:
            content = onnx_model if isinstance(onnx_model, bytes) else onnx_model.SerializeToString()
            (folder / _FILE).write_bytes(content)
        if func is None:
            return {"onnx": _FILE}
        write_function(folder, func)
        return {"directory": "."}

    connection.deploy_written(name, version, input_type, write, **options)


def create_endpoint(
    connection: ClipperConnection,
    name: str,
    input_type: str,
    func: Function | None,
    onnx_model: Any,  # noqa: ANN401 - a file, or what ONNX has in memory
    **options: Unpack[EndpointOptions],
) -> None:
    """Register an application, deploy an ONNX model under the same name, and link them; see `deploy_onnx_model`."""

    def deploy(version: str | int, rest: DeployOptions) -> None:
        deploy_onnx_model(connection, name, version, input_type, func, onnx_model, **rest)

    register_and_link(connection, name, input_type, deploy, **options)
