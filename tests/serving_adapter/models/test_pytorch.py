"""PyTorch modules, run for real on the CPU, and on a GPU where there is one."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from inferline.errors import InputError
from serving_adapter.models import load_model

MODULE = """
import torch

class Affine(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)
        self.dropout = torch.nn.Dropout(0.9)
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
            self.linear.bias.copy_(torch.tensor([0.5, -0.5]))

    def forward(self, x):
        return self.dropout(self.linear(x))

class Function(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *arrays, **named):
        return self.function(*arrays, **named)

def make():
    return Affine()

def several():
    return Function(lambda x: (x.sum(1), -x))

def by_name():
    return Function(lambda x: {"total": x.sum(1), "state": torch.is_grad_enabled() + torch.zeros(len(x))})

def named():
    return Function(lambda a, b: a * b[:, None])

def as_is():
    return Function(lambda inputs: [{"got": each, "length": torch.tensor(len(each))} for each in inputs])

def echo():
    return Function(lambda x: x)

def kind():
    return Function(lambda x: [str(x.dtype)] * len(x))

def short():
    return Function(lambda x: x[:1])

def half():
    return Function(lambda x: x.to(torch.bfloat16))

def greedy():
    return Function(lambda x: torch.empty(2**50))

def huge():
    return Function(lambda x: torch.empty(2**45, device=x.device))

def wrong():
    return Function(lambda x: x @ x)

def function():
    return 5
"""


@pytest.fixture
def load(tmp_path, entry):
    threads = torch.get_num_threads()
    (tmp_path / "made.py").write_text(MODULE)

    def made(name, **options):
        options = {"device": "cpu"} | options
        return load_model(entry("pytorch", f"made:{name}", **options), 1)

    yield made
    torch.set_num_threads(threads)


def shown(outputs):
    return [output.tolist() for output in outputs]


def test_batches_in_evaluation_mode(load):
    model = load("make")
    assert shown(model.predict([[1.0, 1.0]])) == [[3.5, 6.5]]
    assert shown(model.predict([[1.0, 1.0], np.array([0, 1], "<f8"), [0.5, 0]])) == [[3.5, 6.5], [2.5, 3.5], [1, 1]]
    assert shown(load("Affine").predict([[1.0, 1.0]])) == [[3.5, 6.5]]


def test_threads_are_those_that_are_given(tmp_path, load, entry):
    load("make")
    assert torch.get_num_threads() == 1
    load_model(entry("pytorch", "made:make"), 2)
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("inputs", "options", "dtype"),
    [
        ([[1, 2], [3, 4]], {}, "int64"),
        ([[1, 2], [3, 4.5]], {}, "float32"),
        ([1, 2], {}, "int64"),
        ([True, False], {}, "bool"),
        ([[], [1]], {}, "int64"),
        ([np.array([1], "<i4"), np.array([2], "<i4")], {}, "int64"),
        ([np.array([1], "<f8"), np.array([2], "<f8")], {}, "float32"),
        ([[1, 2], [3, 4]], {"dtype": "float32"}, "float32"),
        ([[1.5], [2.5]], {"dtype": "float64"}, "float64"),
    ],
)
def test_type_of_the_tensor(load, inputs, options, dtype):
    assert load("kind", **options).predict(inputs) == [f"torch.{dtype}"] * 2


def test_option_shape_and_padding(load):
    assert shown(load("echo", shape=[2, -1]).predict([np.arange(4, dtype="<i4")])) == [[[0, 1], [2, 3]]]
    assert shown(load("echo").predict([[1], [2, 3]])) == [[1, 0], [2, 3]]


def test_several_outputs(load):
    total, negative = load("several").predict([[1, 2], [3, 4]])[1]
    assert (total.tolist(), negative.tolist()) == (7, [-3, -4])
    assert load("by_name").predict([[1, 2], [3, 4]]) == [{"total": 3, "state": 0}, {"total": 7, "state": 0}]


def test_objects_of_arrays_become_keyword_arguments(load):
    model = load("named", shape={"a": [2]})
    assert shown(model.predict([{"a": [1, 2], "b": 3}, {"b": 5, "a": [1, 1]}])) == [[3, 6], [5, 5]]


def test_anything_else_is_handed_on_as_it_is(load):
    inputs = ["text", {"a": "b"}, [[1], [2, 3]], b"bytes"]
    assert load("as_is").predict(inputs) == [{"got": each, "length": np.array(len(each))} for each in inputs]
    assert load("as_is").predict([{"a": 1}, {"b": 1}]) == [{"got": {name: 1}, "length": 1} for name in "ab"]


def test_short_floats_come_back(load):
    assert shown(load("half").predict([[1.5]])) == [[1.5]]


def test_memory_that_runs_out_is_told_apart(load):
    with pytest.raises(MemoryError, match="can't allocate memory"):
        load("greedy").predict([[1]])


def test_errors_of_the_module_are_its_own(load):
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        load("wrong").predict([[1.0, 2.0, 3.0]])
    with pytest.raises(ValueError, match=r"^the output has shape \(1, 1\) for a batch of 2; its first axis must"):
        load("short").predict([[1], [2]])


def test_faults(load):
    for name, options, where, message in [
        ("function", {}, "pytorch", "'made:function' returned a int; it must return a torch.nn.Module"),
        ("absent", {}, "pytorch", "module 'made' has no 'absent'"),
        ("make", {"dtype": "complex64"}, "dtype", "'complex64' is no type of numbers; write one of float16, float32"),
        ("make", {"shape": "3"}, "shape", "expects a list of whole numbers, one of which may be -1, like [3, 224"),
    ]:
        with pytest.raises(InputError) as caught:
            load(name, **options)
        assert str(caught.value).startswith(f"pipeline.yaml: models.m.{where}: {message}")


def test_the_device_that_is_there_and_the_one_that_is_not(load):
    """With a GPU the model runs on it; without one, asking for it is refused and `auto` takes the CPU."""
    model = load("make", device="auto")
    np.testing.assert_allclose(model.predict([[1.0, 1.0]])[0], [3.5, 6.5], rtol=1e-3)
    if torch.cuda.is_available():
        assert (model.device, next(model.module.parameters()).device) == (torch.device("cuda:0"),) * 2
        with pytest.raises(MemoryError, match="out of memory"):
            load("huge", device="cuda:0").predict([[1]])
    else:
        assert model.device.type == "cpu"
        with pytest.raises(InputError, match=r"models.m.device: no cuda here: PyTorch finds no CUDA device; auto"):
            load("make", device="cuda")


def test_pytorch_that_is_not_installed(load, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"models.m.pytorch: needs torch: pip install 'inferline\[torch\]'$"):
        load("make")
