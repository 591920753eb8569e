"""Models of PySpark: what is wrong with them shows before Spark is started."""

import json
import sys
from importlib.util import find_spec

import pytest

from inferline.errors import InputError
from serving_adapter.models import pyspark

needs_pyspark = pytest.mark.skipif(
    find_spec("pyspark") is None, reason="PySpark is not installed (inferline[pyspark])"
)


@pytest.mark.parametrize("metadata", ["", "[]", "{}", None])
def test_metadata_that_say_nothing(tmp_path, metadata):
    if metadata is not None:
        (tmp_path / "metadata.json").write_text(metadata)
    with pytest.raises(InputError, match=r"metadata.json: does not say the class of the model, as {"):
        pyspark.load(tmp_path, 1)


def write(folder, model_class):
    (folder / "metadata.json").write_text(json.dumps({"model_class": model_class}))


@pytest.mark.parametrize("model_class", ["os.system", "pyspark", 3])
def test_classes_of_others(tmp_path, model_class):
    write(tmp_path, model_class)
    with pytest.raises(InputError, match=f"json: model_class: is {model_class!r}; expected a class of PySpark"):
        pyspark.load(tmp_path, 1)


def test_without_pyspark(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark", None)
    write(tmp_path, "pyspark.ml.pipeline.PipelineModel")
    with pytest.raises(InputError, match=r"model_class: needs pyspark: pip install 'inferline\[pyspark\]'") as caught:
        pyspark.load(tmp_path, 1)
    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.languages
@needs_pyspark
def test_class_that_is_not_there(tmp_path):
    write(tmp_path, "pyspark.ml.pipeline.NoModel")
    with pytest.raises(InputError, match=r"model_class: this PySpark has no pyspark.ml.pipeline.NoModel$"):
        pyspark.load(tmp_path, 1)


@pytest.mark.languages
@needs_pyspark
def test_without_java(tmp_path, monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    write(tmp_path, "pyspark.ml.pipeline.PipelineModel")
    with pytest.raises(InputError, match=r"Spark needs Java: install a Java runtime"):
        pyspark.load(tmp_path, 1)
