"""An application of its own for a model that is being deployed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from serving_adapter.client.connection import ClipperConnection
from serving_adapter.client.options import DeployOptions, EndpointOptions

__all__ = ["register_and_link"]


def register_and_link(
    connection: ClipperConnection,
    name: str,
    input_type: str,
    deploy: Callable[[str | int, DeployOptions], None],
    **options: Unpack[EndpointOptions],
) -> None:
    """Register an application, have a model of its name deployed, and link them.

    When the model cannot be deployed, the application goes again.

    Parameters
    ----------
    connection
        Where.
    name, input_type
        Of both.
    deploy
        Deploys the version that it is given.
    **options
        What becomes of both.
    """
    version = options.pop("version", 1)
    default_output = options.pop("default_output", "None")
    slo_micros = options.pop("slo_micros", 3_000_000)
    connection.register_application(name, input_type, default_output, slo_micros)
    try:
        deploy(version, options)
        connection.link_model_to_app(name, name)
    except BaseException:
        connection.delete_application(name)
        raise
