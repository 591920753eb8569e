"""Deploying a Python function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

from serving_adapter.client.connection import ClipperConnection
from serving_adapter.client.deployers.directory import deploy_directory
from serving_adapter.client.deployers.endpoint import register_and_link
from serving_adapter.client.options import DeployOptions, EndpointOptions

__all__ = ["create_endpoint", "deploy_python_closure"]

Function = Callable[[Any], Any]


def deploy_python_closure(
    connection: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Function,
    **options: Unpack[DeployOptions],
) -> None:
    """Deploy a function of a batch.

    Parameters
    ----------
    connection
        Where.
    name, version
        What it is called; the version is new.
    input_type
        Type of its inputs.
    func
        Takes a batch, as the functions of Clipper's containers do: an array (batch, length) of numbers, or an array
        of arrays where lengths differ, of bytes objects for strings; returns one output per input. It is pickled with
        what it closes over.
    **options
        How it is deployed.

    Raises
    ------
    InputError
        When it cannot be pickled, or is refused.
    OutsideError
        When its replicas do not come up; says why.
    """
    deploy_directory(connection, name, version, input_type, func, **options)


def create_endpoint(
    connection: ClipperConnection, name: str, input_type: str, func: Function, **options: Unpack[EndpointOptions]
) -> None:
    """Register an application, deploy a function under the same name, and link them; see `deploy_python_closure`."""

    def deploy(version: str | int, rest: DeployOptions) -> None:
        deploy_python_closure(connection, name, version, input_type, func, **rest)

    register_and_link(connection, name, input_type, deploy, **options)
