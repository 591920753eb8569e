"""Deploying a model that PySpark fitted, with a function that calls it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Unpack

from inferline.errors import InputError, OutsideError
from serving_adapter.client.connection import ClipperConnection
from serving_adapter.client.deployers.directory import deploy_directory
from serving_adapter.client.deployers.endpoint import register_and_link
from serving_adapter.client.options import DeployOptions, EndpointOptions
from serving_adapter.models.pyspark import METADATA, MODEL, MODEL_CLASS, saves_by_itself

__all__ = ["create_endpoint", "deploy_pyspark_model"]

Function = Callable[[Any, Any, Any], Any]


def deploy_pyspark_model(
    connection: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Function,
    pyspark_model: Any,  # noqa: ANN401 - of pyspark.ml or pyspark.mllib
    sc: Any = None,  # noqa: ANN401 - a SparkContext
    **options: Unpack[DeployOptions],
) -> None:
    """Deploy a model of Spark, and a function of a session, the model and a batch.

    Parameters
    ----------
    connection
        Where.
    name, version
        What it is called; the version is new.
    input_type
        Type of its inputs.
    func
        Takes a SparkSession, the model and a batch, as in `deploy_python_closure`; returns one output per input.
    pyspark_model
        A fitted model of ``pyspark.ml``, or one of ``pyspark.mllib`` that can be saved.
    sc
        The SparkContext, which models of ``pyspark.mllib`` are saved with; no others need it.
    **options
        How it is deployed.

    Raises
    ------
    InputError
        When it is no model of Spark, the function cannot be pickled, or it is refused.
    OutsideError
        When Spark cannot save it, or its replicas do not come up; says why.
    """
    kind = type(pyspark_model)
    if not kind.__module__.startswith("pyspark.") or not hasattr(pyspark_model, "save"):
        raise InputError(f"a {kind.__name__} is no model of pyspark.ml or pyspark.mllib that can be saved")
    alone = saves_by_itself(kind)
    if not alone and sc is None:
        raise InputError(f"a {kind.__module__}.{kind.__name__} is saved with its SparkContext; give it as sc")

    def write(folder: Path) -> None:
        place = (folder / MODEL).as_uri()  # Spark's default need not be this machine's file system
        try:
            pyspark_model.save(*([] if alone else [sc]), place)
        except Exception as error:
            # Of the JVM: their common class is in a package that may not be there.
            raise OutsideError(f"model {name!r}: Spark cannot save it: {type(error).__name__}: {error}") from error
        named = f"{kind.__module__}.{kind.__name__}"
        (folder / METADATA).write_text(json.dumps({MODEL_CLASS: named}))

    deploy_directory(connection, name, version, input_type, func, write, **options)


def create_endpoint(
    connection: ClipperConnection,
    name: str,
    input_type: str,
    func: Function,
    pyspark_model: Any,  # noqa: ANN401 - of pyspark.ml or pyspark.mllib
    sc: Any = None,  # noqa: ANN401 - a SparkContext
    **options: Unpack[EndpointOptions],
) -> None:
    """Register an application, deploy a model of Spark under the same name, and link them.

    See `deploy_pyspark_model`.
    """

    def deploy(version: str | int, rest: DeployOptions) -> None:
        deploy_pyspark_model(connection, name, version, input_type, func, pyspark_model, sc, **rest)

    register_and_link(connection, name, input_type, deploy, **options)
