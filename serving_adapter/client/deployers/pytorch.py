"""Deploying a PyTorch module with a function that calls it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack

from inferline.errors import InputError
from serving_adapter.client.connection import ClipperConnection
from serving_adapter.client.deployers.directory import deploy_directory
from serving_adapter.client.deployers.endpoint import register_and_link
from serving_adapter.client.deployers.pickled import write_pickle
from serving_adapter.client.options import DeployOptions, EndpointOptions

__all__ = ["create_endpoint", "deploy_pytorch_model"]

Function = Callable[[Any, Any], Any]


def deploy_pytorch_model(
    connection: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Function,
    pytorch_model: Any,  # noqa: ANN401 - a torch.nn.Module
    **options: Unpack[DeployOptions],
) -> None:
    """Deploy a module, and a function of it and a batch.

    Parameters
    ----------
    connection
        Where.
    name, version
        What it is called; the version is new.
    input_type
        Type of its inputs.
    func
        Takes the module and a batch, as in `deploy_python_closure`; returns one output per input.
    pytorch_model
        The module; its class is pickled, and its weights are written beside.
    **options
        How it is deployed.

    Raises
    ------
    InputError
        When it cannot be written, or is refused.
    OutsideError
        When its replicas do not come up; says why.
    """
    try:
        import torch  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise InputError("deploying a PyTorch module needs torch: pip install 'inferline[torch]'") from error
    if not isinstance(pytorch_model, torch.nn.Module):
        raise InputError(f"a {type(pytorch_model).__name__} is no PyTorch module; give a torch.nn.Module")

    def write(folder: Path) -> None:
        write_pickle(folder, "pytorch_model.pkl", pytorch_model, folder / "modules")
        torch.save(pytorch_model.state_dict(), folder / "pytorch_weights.pkl")

    deploy_directory(connection, name, version, input_type, func, write, **options)


def create_endpoint(
    connection: ClipperConnection,
    name: str,
    input_type: str,
    func: Function,
    pytorch_model: Any,  # noqa: ANN401 - a torch.nn.Module
    **options: Unpack[EndpointOptions],
) -> None:
    """Register an application, deploy a module under the same name, and link them; see `deploy_pytorch_model`."""

    def deploy(version: str | int, rest: DeployOptions) -> None:
        deploy_pytorch_model(connection, name, version, input_type, func, pytorch_model, **rest)

    register_and_link(connection, name, input_type, deploy, **options)
