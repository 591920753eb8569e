import pickle

import numpy as np
import pytest

from inferline.errors import InputError
from serving_adapter.models import load_model


def test_directory_as_an_entry(entry, tmp_path):
    (tmp_path / "sizes").mkdir()
    (tmp_path / "sizes" / "func.pkl").write_bytes(pickle.dumps(list))
    model = load_model(entry("directory", "sizes", input_type="doubles"), 1)
    assert model.predict([np.array([1.0]), np.array([2.0])]) == ["[1.]", "[2.]"]


def test_what_is_no_such_directory(entry, tmp_path):
    with pytest.raises(InputError, match=r"^pipeline.yaml: models.m.directory: no folder .*nowhere$"):
        load_model(entry("directory", "nowhere"), 1)
    with pytest.raises(InputError, match=r"^pipeline.yaml: models.m.directory: .*: holds no func.pkl; "):
        load_model(entry("directory", "."), 1)


def test_what_is_missing_is_told_by_the_cause(entry, tmp_path):
    (tmp_path / "func.pkl").write_bytes(b"cno_such_module\nf\n.")
    with pytest.raises(InputError, match="needs module 'no_such_module', which is not installed") as caught:
        load_model(entry("directory", "."), 1)
    assert isinstance(caught.value.__cause__, ImportError)  # a container's exit code says so
    (tmp_path / "tfmodel").mkdir()
    with pytest.raises(InputError, match="TensorFlow models are not supported here") as caught:
        load_model(entry("directory", "."), 1)
    assert isinstance(caught.value.__cause__, ImportError)
