"""scikit-learn estimators and pipelines, from a file that joblib wrote.

Such a file is a pickle: loading it runs whatever code is in it. It is unpickled here and nowhere else, in the process
of the replica that serves it; load no file that you would not run.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving_adapter.models.callables import add_folder
from serving_adapter.models.entry import ModelEntry
from serving_adapter.models.loading import Model
from serving_adapter.models.outputs import rows, rows_of_unnamed

__all__ = ["load"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SklearnModel:
    """A method of an estimator as a model."""

    method: Callable[[Any], Any]

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Call the method with a list of texts or of objects, or with a 2-D array (batch, features).

        An input is a row of features: an array, a list, or one number. What has more dimensions is flattened.

        Raises
        ------
        ValueError
            When the rows of a batch differ in length, or the estimator refuses them.
        """
        output = self.method(_features(inputs))
        if hasattr(output, "toarray"):  # a sparse matrix
            output = output.toarray()
        if isinstance(output, list) and output and all(_is_column(each, len(inputs)) for each in output):
            return rows_of_unnamed(output, len(inputs))  # probabilities, one array per label
        return rows(output if isinstance(output, list) else np.asarray(output), len(inputs))


def load(entry: ModelEntry, threads: int) -> Model:
    """Load an estimator; see `serving_adapter.models.load_model`.

    Option ``method`` names what is called: ``predict`` (default), ``predict_proba``, ``transform`` ...
    """
    try:
        import joblib  # noqa: PLC0415 - optional
        import sklearn  # noqa: F401, PLC0415
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # noqa: PLC0415 - sklearn's own
    except ModuleNotFoundError as error:
        raise entry.fault("sklearn", "needs scikit-learn: pip install 'inferline[sklearn]'") from error
    estimator = _unpickle(entry, joblib.load)
    name = entry.options.get("method", "predict")
    method = getattr(estimator, name, None) if isinstance(name, str) else None
    if not callable(method):
        known = ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform", "score_samples")
        there = ", ".join(each for each in known if hasattr(estimator, each)) or "none that are known"
        raise entry.fault("method", f"a {type(estimator).__name__} has no method {name!r}; it has {there}")
    threadpool_limits(limits=threads)
    # Queries carry values without names, so the remark on every batch would only repeat itself.
    warnings.filterwarnings("ignore", message="X does not have valid feature names", category=UserWarning)
    return SklearnModel(method)


def _unpickle(entry: ModelEntry, read: Callable[[str], Any]) -> Any:  # noqa: ANN401 - an estimator
    path = entry.folder / entry.target
    if not path.is_file():
        raise entry.fault("sklearn", f"no file {path}")
    add_folder(entry)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimator = read(str(path))
        except ModuleNotFoundError as error:
            raise entry.fault("sklearn", f"{path} needs module {error.name!r}, which is not installed") from error
        except (OSError, MemoryError):
            raise
        except Exception as error:
            # Bytes that are no pickle fail in as many ways as there are instructions of a pickle.
            found = f"{type(error).__name__}: {error}"
            raise entry.fault("sklearn", f"{path} is no file that joblib can load: {found}") from error
    for warning in caught:
        # Foremost that another version of scikit-learn wrote the file: worth knowing, and no reason to stop.
        reason = " ".join(str(warning.message).split())
        _log.warning("event=model_load_warning model=%s reason=%s", entry.name, reason)
    return estimator


def _features(inputs: Sequence[Any]) -> Any:  # noqa: ANN401 - what estimators take
    if all(isinstance(each, str) for each in inputs) or all(isinstance(each, dict) for each in inputs):
        return list(inputs)
    features = [_row(each) for each in inputs]
    lengths = {len(each) for each in features}
    if len(lengths) > 1:
        raise ValueError(f"expects rows with the same number of features; got {sorted(lengths)} in one batch")
    return np.stack(features)


def _row(value: Any) -> NDArray[Any]:  # noqa: ANN401 - a JSON value
    array = np.asarray(value)
    # Text among numbers would turn them all into text.
    return (array if array.dtype.kind in "biuf" else np.asarray(value, dtype=object)).reshape(-1)


def _is_column(value: object, count: int) -> bool:
    return isinstance(value, np.ndarray) and value.shape[:1] == (count,)
