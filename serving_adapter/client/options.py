"""How a version of a model is deployed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from inferline.domain import Hardware
from inferline.errors import InputError

__all__ = ["DEFAULT_HARDWARE", "DeployOptions", "EndpointOptions", "check_options"]

DEFAULT_HARDWARE = Hardware(name="default", price_nano_usd_per_hour=0)
"""One core, where nothing else is said."""


class DeployOptions(TypedDict, total=False):
    """How a version is deployed.

    Parameters
    ----------
    labels
        Kept with it; nothing is made of them.
    num_replicas
        How many replicas to start (1).
    batch_size
        Its maximum batch size; -1 has the server find one (-1).
    hardware
        What each replica gets (what the connection says).
    base_image
        Image that holds InferLine, and what the model needs: an image of the model is built from it, and replicas run
        that (what the connection says).
    registry
        Where that image is pushed to; empty to leave it with the engine (what the connection says).
    """

    labels: Sequence[str]
    num_replicas: int
    batch_size: int
    hardware: Hardware
    base_image: str
    registry: str


class EndpointOptions(DeployOptions, total=False):
    """How a version is deployed behind an application of its own.

    Parameters
    ----------
    version
        The version (1).
    default_output
        What a query is answered when the model does not answer in time (``None``, as a text).
    slo_micros
        How long a query may take, in microseconds (3,000,000).
    """

    version: str | int
    default_output: str
    slo_micros: int


def check_options(options: DeployOptions) -> None:
    """Refuse options that there are none of: Python itself would let them pass.

    Raises
    ------
    InputError
        When there is one.

    Examples
    --------
    >>> check_options({"num_replicas": 2})
    """
    unknown = sorted(options.keys() - DeployOptions.__annotations__.keys())
    if unknown:
        known = ", ".join(DeployOptions.__annotations__)
        raise InputError(f"no option {unknown[0]!r} of deploying; there are {known}")
