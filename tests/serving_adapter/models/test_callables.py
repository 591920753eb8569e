"""Callables as models, and what is said when they are not there."""

from __future__ import annotations

import pytest

from inferline.errors import InputError, OutsideError
from serving_adapter.models import load_model

MODULE = """
loads = []

def double(inputs):
    assert type(inputs) is list
    return [2 * each for each in inputs]

class Model:
    def __init__(self, factor=3):
        loads.append(factor)
        self.factor = factor

    def __call__(self, inputs):
        return [self.factor * each for each in inputs]

class Needy:
    def __init__(self, path):
        pass

class Mute:
    pass

class Broken:
    def __init__(self):
        raise OSError("no weights")

class Huge:
    def __init__(self):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB")

class Group:
    @staticmethod
    def negate(inputs):
        return [-each for each in inputs]

number = 5
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "beside.py").write_text(MODULE)
    return tmp_path


def test_function_beside_the_pipeline_file(folder, entry):
    assert load_model(entry("callable", "beside:double"), 1).predict((1, 2)) == [2, 4]
    assert load_model(entry("callable", "beside:Group.negate"), 1).predict([1]) == [-1]


def test_class_is_constructed_once_when_loaded(folder, entry):
    model = load_model(entry("callable", "beside:Model"), 1)
    import beside  # noqa: PLC0415 - exists in this test only

    assert beside.loads == [3]
    assert [model.predict([1, 2]), model.predict([3])] == [[3, 6], [9]]
    assert beside.loads == [3]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("beside:triple", "module 'beside' has no 'triple'"),
        ("beside:Group.triple", "module 'beside' has no 'Group.triple'"),
        ("beside:number", "'beside:number' is a int, not a callable"),
        ("beside:Needy", "class 'beside:Needy': missing a required argument: 'path'; it is constructed without arg"),
        ("beside:Mute", "class 'beside:Mute' has no __call__(inputs), which predicts"),
        ("besides:double", "no module 'besides' in "),
        ("beside.deeper:double", "no module 'beside.deeper' in "),
        ("needy:f", "module 'needy' imports 'no_such_dependency', which is not installed"),
        ("needy_from:f", "cannot import 'needy_from': ImportError: cannot import name 'nothing' from 'json'"),
        ("garbled:f", "cannot import 'garbled': SyntaxError: "),
        ("failing:f", "cannot import 'failing': ZeroDivisionError: division by zero"),
    ],
)
def test_faults_name_the_key_and_what_is_missing(folder, entry, target, message):
    (folder / "needy.py").write_text("import no_such_dependency")
    (folder / "needy_from.py").write_text("from json import nothing")
    (folder / "garbled.py").write_text("def f(:")
    (folder / "failing.py").write_text("1 / 0")
    with pytest.raises(InputError) as caught:
        load_model(entry("callable", target), 1)
    assert str(caught.value).startswith(f"pipeline.yaml: models.m.callable: {message}")


def test_failure_of_the_model_itself_is_outside(folder, entry):
    with pytest.raises(OutsideError, match="model 'm': cannot be loaded: OSError: no weights"):
        load_model(entry("callable", "beside:Broken"), 1)


def test_memory_that_runs_out_is_told_apart(folder, entry):
    with pytest.raises(MemoryError, match="model 'm': CUDA out of memory"):
        load_model(entry("callable", "beside:Huge"), 1)
