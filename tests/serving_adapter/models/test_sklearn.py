"""scikit-learn estimators from files, in the ways they are used."""

from __future__ import annotations

import pickle
import sys

import joblib
import numpy as np
import pytest
import sklearn
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_info, threadpool_limits

from inferline.errors import InputError
from serving_adapter.models import load_model

TEXTS = ["good day", "good night", "bad day", "bad night"]
ROWS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


@pytest.fixture
def load(tmp_path, entry):
    """Return what dumps an estimator and loads it again as a model."""

    def through_a_file(estimator, **options):
        joblib.dump(estimator, tmp_path / "m.joblib")
        return load_model(entry("sklearn", "m.joblib", **options), 1)

    with threadpool_limits():  # puts back what loading has limited
        yield through_a_file


def test_pipeline_on_texts(load):
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, ["+", "+", "-", "-"])
    assert load(pipeline).predict(["good", "bad", "good"]) == ["+", "-", "+"]
    probabilities = load(pipeline, method="predict_proba").predict(["good", "bad"])
    assert [row.shape for row in probabilities] == [(2,), (2,)]
    assert probabilities[0][0] > 0.5 > probabilities[1][0]


def test_rows_of_numbers(load):
    regression = LinearRegression().fit(ROWS, ROWS @ [1, 2])
    for inputs in ([[1, 1], [0, 2]], [np.array([1, 1], "<f4"), np.array([0, 2], "<f4")], [[[1], [1]], [[0], [2]]]):
        np.testing.assert_allclose(load(regression).predict(inputs), [3, 4])
    with pytest.raises(ValueError, match=r"^expects rows with the same number of features; got \[1, 2\] in one b"):
        load(regression).predict([[1], [1, 2]])
    with pytest.raises(ValueError, match="X has 3 features, but LinearRegression is expecting 2"):
        load(regression).predict([[1, 2, 3]])


def test_threads_are_those_that_are_given(load, entry):
    load(LinearRegression().fit(ROWS, ROWS @ [1, 2]))
    assert {pool["num_threads"] for pool in threadpool_info()} == {1}
    load_model(entry("sklearn", "m.joblib"), 2)
    assert {pool["num_threads"] for pool in threadpool_info()} == {2}


def test_one_number_is_a_row_of_one(load):
    np.testing.assert_allclose(load(LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0])).predict([3, 4.5]), [6, 9])


def test_objects_and_sparse_outputs(load):
    vectorizer = DictVectorizer().fit([{"a": 1, "b": 2}])
    rows = load(vectorizer, method="transform").predict([{"a": 3}, {"b": 4}])
    assert [row.tolist() for row in rows] == [[3, 0], [0, 4]]


def test_one_array_per_label_becomes_one_list_per_input(load):
    several = MultiOutputClassifier(LogisticRegression()).fit(ROWS, ROWS)
    outputs = load(several, method="predict_proba").predict(ROWS[:3].tolist())
    assert [[label.shape for label in output] for output in outputs] == [[(2,), (2,)]] * 3


def test_text_among_numbers_stays_what_it_is(entry, tmp_path):
    (tmp_path / "odd.py").write_text(
        "class Odd:\n    def predict(self, features):\n        return features.tolist()\n"
    )
    (tmp_path / "m.joblib").write_bytes(b"codd\nOdd\n)\x81.")  # an instance of odd.Odd, which lies beside the file
    assert load_model(entry("sklearn", "m.joblib"), 1).predict([["a", 1], ["b", 2.5]]) == [["a", 1], ["b", 2.5]]


def test_names_of_features_are_not_missed(load):
    regression = LinearRegression().fit(ROWS, ROWS @ [1, 2])
    regression.feature_names_in_ = np.array(["a", "b"], dtype=object)
    np.testing.assert_allclose(load(regression).predict([[1, 1]]), [3])


def test_file_of_another_version_is_loaded_with_a_log_line(entry, tmp_path, caplog):
    now = pickle.dumps(LinearRegression().fit(ROWS, ROWS @ [1, 2]))
    assert now.count(sklearn.__version__.encode()) == 1
    (tmp_path / "m").write_bytes(now.replace(sklearn.__version__.encode(), b"x" * len(sklearn.__version__)))
    np.testing.assert_allclose(load_model(entry("sklearn", "m"), 1).predict([[1, 1]]), [3])
    assert [(record.levelname, record.message[:85]) for record in caplog.records] == [
        ("WARNING", "event=model_load_warning model=m reason=Trying to unpickle estimator LinearRegression")
    ]


def test_methods(load):
    with pytest.raises(InputError) as caught:
        load(LinearRegression().fit(ROWS, ROWS @ [1, 2]), method="predict_proba")
    fault = "a LinearRegression has no method 'predict_proba'; it has predict"
    assert str(caught.value) == f"pipeline.yaml: models.m.method: {fault}"


def test_wrong_files(entry, tmp_path):
    (tmp_path / "garbage").write_bytes(b"garbage")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "cut").write_bytes(pickle.dumps([ROWS])[:-20])
    (tmp_path / "needy").write_bytes(b"cno_such_module\nEstimator\n.")
    (tmp_path / "renamed").write_bytes(b"csklearn.linear_model\nNoSuchEstimator\n.")
    (tmp_path / "number").write_bytes(pickle.dumps(5))
    for file, where, message in [
        ("missing", "sklearn", f"no file {tmp_path / 'missing'}"),
        ("garbage", "sklearn", f"{tmp_path / 'garbage'} is no file that joblib can load: "),
        ("empty", "sklearn", f"{tmp_path / 'empty'} is no file that joblib can load: "),
        ("cut", "sklearn", f"{tmp_path / 'cut'} is no file that joblib can load: "),
        ("needy", "sklearn", f"{tmp_path / 'needy'} needs module 'no_such_module', which is not installed"),
        ("renamed", "sklearn", f"{tmp_path / 'renamed'} is no file that joblib can load: AttributeError: "),
        ("number", "method", "a int has no method 'predict'; it has none that are known"),
    ]:
        with pytest.raises(InputError) as caught:
            load_model(entry("sklearn", file), 1)
        assert str(caught.value).startswith(f"pipeline.yaml: models.m.{where}: {message}")


def test_sklearn_that_is_not_installed(entry, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(InputError, match=r"models.m.sklearn: needs scikit-learn: pip install 'inferline\[skl"):
        load_model(entry("sklearn", "m.joblib"), 1)
