"""Models that PySpark saved, for the function of a model directory: ``f(spark, model, inputs)``.

Beside ``func.pkl`` lie ``metadata.json``, which says of what class the model is, and ``pyspark_model_data``, which
that class reads. Every replica has a Spark of its own, in one JVM beside it, with as many threads as the replica.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from inferline.errors import Fault, InputError, OutsideError

__all__ = ["METADATA", "MODEL", "MODEL_CLASS", "load", "saves_by_itself"]

METADATA = "metadata.json"
MODEL = "pyspark_model_data"
MODEL_CLASS = "model_class"

_PACKAGE = "pyspark."


def saves_by_itself(kind: type) -> bool:
    """Whether models of a class are saved and read without a SparkContext: those of ``pyspark.ml``."""
    base: Any = importlib.import_module("pyspark.ml.base")
    return issubclass(kind, base.Model)


def load(folder: Path, threads: int) -> tuple[Any, Any]:
    """Start Spark in this process, and have it read the model of a model directory.

    Parameters
    ----------
    folder
        The directory.
    threads
        Threads that Spark computes with.

    Returns
    -------
        The session and the model.

    Raises
    ------
    InputError
        When the directory is wrong, or PySpark or Java is not installed; its cause is an `ImportError` in that case.
    OutsideError
        When Spark does not start, or cannot read the model.
    """
    kind = _model_class(folder)
    sql: Any = importlib.import_module("pyspark.sql")
    if "JAVA_HOME" not in os.environ and shutil.which("java") is None:
        missing = "Spark needs Java: install a Java runtime (apt-get install default-jre-headless), or set JAVA_HOME"
        raise InputError(Fault(str(folder), "", missing))
    try:
        builder = sql.SparkSession.builder.master(f"local[{threads}]").appName(folder.resolve().name)
        spark = (
            builder.config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .getOrCreate()
        )
        place = (folder / MODEL).resolve().as_uri()  # Spark's default need not be this machine's file system
        model = kind.load(place) if saves_by_itself(kind) else kind.load(spark.sparkContext, place)
    except Exception as error:
        # Py4J and the JVM raise errors of their own.
        raise OutsideError(f"{folder / MODEL}: Spark cannot read it: {type(error).__name__}: {error}") from error
    return spark, model


def _model_class(folder: Path) -> Any:  # noqa: ANN401 - a class of PySpark
    path = folder / METADATA
    try:
        named = json.loads(path.read_text())[MODEL_CLASS]
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f'does not say the class of the model, as {{"{MODEL_CLASS}": "pyspark.ml.pipeline.PipelineModel"}}'
        raise InputError(Fault(str(path), "", f"{message}: {error}")) from error
    if not isinstance(named, str) or not named.startswith(_PACKAGE):
        raise InputError(Fault(str(path), MODEL_CLASS, f"is {named!r}; expected a class of PySpark"))
    module, _, name = named.rpartition(".")
    try:
        importlib.import_module("pyspark")
    except ModuleNotFoundError as error:
        missing = "needs pyspark: pip install 'inferline[pyspark]'"
        raise InputError(Fault(str(path), MODEL_CLASS, missing)) from error
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        # A part of PySpark may need a module that comes with none of its installations.
        missing = f"{named} needs module {error.name!r}, which is not installed"
        raise InputError(Fault(str(path), MODEL_CLASS, missing)) from error
    except AttributeError as error:
        raise InputError(Fault(str(path), MODEL_CLASS, f"this PySpark has no {named}")) from error
