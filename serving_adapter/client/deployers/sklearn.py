"""Deploying a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from inferline.errors import InputError
from serving_adapter.client.connection import ClipperConnection
from serving_adapter.client.deployers.endpoint import register_and_link
from serving_adapter.client.deployers.pickled import write_pickle
from serving_adapter.client.options import DeployOptions, EndpointOptions

__all__ = ["create_endpoint", "deploy_sklearn_model"]

_FILE = "model.pkl"


def deploy_sklearn_model(
    connection: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    estimator: Any,  # noqa: ANN401 - whatever has such a method
    method: str = "predict",
    **options: Unpack[DeployOptions],
) -> None:
    """Deploy an estimator, or a pipeline of them; what comes before or after it belongs into a function instead.

    Parameters
    ----------
    connection
        Where.
    name, version
        What it is called; the version is new.
    input_type
        Type of its inputs.
    estimator
        The fitted estimator; it is pickled.
    method
        What is called with a batch: ``predict``, ``predict_proba``, ``transform`` ...
    **options
        How it is deployed.

    Raises
    ------
    InputError
        When it has no such method, cannot be pickled, or is refused.
    OutsideError
        When its replicas do not come up; says why.
    """
    if not callable(getattr(estimator, method, None)):
        raise InputError(f"a {type(estimator).__name__} has no method {method!r}")

    def write(folder: Path) -> Mapping[str, Any]:
        write_pickle(folder, _FILE, estimator, folder)
        return {"sklearn": _FILE, "method": method}

    connection.deploy_written(name, version, input_type, write, **options)


def create_endpoint(
    connection: ClipperConnection,
    name: str,
    input_type: str,
    estimator: Any,  # noqa: ANN401 - whatever has such a method
    method: str = "predict",
    **options: Unpack[EndpointOptions],
) -> None:
    """Register an application, deploy an estimator under the same name, and link them; see `deploy_sklearn_model`."""

    def deploy(version: str | int, rest: DeployOptions) -> None:
        deploy_sklearn_model(connection, name, version, input_type, estimator, method, **rest)

    register_and_link(connection, name, input_type, deploy, **options)
