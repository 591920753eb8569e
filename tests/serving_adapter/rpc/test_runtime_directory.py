"""Directories of Clipper's deployers, written as those write them: functions through cloudpickle, protocol 2."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
from onnx import TensorProto, checker, helper, save

from inferline.errors import InputError
from serving_adapter.models import clipper_directory
from serving_adapter.rpc.wire import DataType

LONG_S = 20.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "model").mkdir()
    return tmp_path / "model"


def write(folder: Path, function: object, name: str = "func.pkl") -> None:
    (folder / name).write_bytes(cloudpickle.dumps(function, protocol=2))


def doubles(*vectors: list[float]) -> list[bytes]:
    return [np.array(each, dtype="<f8").tobytes() for each in vectors]


def test_closure_in_a_process(start, single, folder):
    factor = 10.0

    def scaled(inputs):
        import offsets  # noqa: PLC0415 - in modules/

        return [factor * each.sum() + offsets.BY + len(inputs.shape) for each in inputs]

    write(folder, scaled)
    (folder / "modules").mkdir()
    (folder / "modules" / "offsets.py").write_text("BY = 0.25\n")
    runtime = start(server=single, CLIPPER_MODEL_PATH=str(folder))
    assert single.await_registration(LONG_S, runtime.alive).data_type is DataType.DOUBLES
    assert single.predict(DataType.DOUBLES, doubles([1.0, 2.0], [3.0, 4.0]), LONG_S)[0] == [b"32.25", b"72.25"]
    assert single.predict(DataType.DOUBLES, doubles([1.0, 2.0], [3.0]), LONG_S)[0] == [b"31.25", b"31.25"]
    assert runtime.end() == 0


def test_pytorch_in_a_process(start, single, folder):
    import torch  # noqa: PLC0415 - slow

    def predict(model, inputs):
        outputs = model(torch.tensor(inputs).float())
        return [each.tolist() for each in outputs.detach().numpy()]

    trained = torch.nn.Linear(2, 1)
    with torch.no_grad():
        trained.weight.copy_(torch.tensor([[2.0, 1.0]]))
        trained.bias.fill_(0.5)
    write(folder, predict)
    write(folder, torch.nn.Linear(2, 1), "pytorch_model.pkl")  # the weights are not those of this one
    torch.save(trained.state_dict(), folder / "pytorch_weights.pkl")
    runtime = start(server=single, CLIPPER_MODEL_PATH=str(folder), CLIPPER_INPUT_TYPE="floats")
    assert single.await_registration(LONG_S, runtime.alive).data_type is DataType.FLOATS
    frames = [np.array(each, dtype="<f4").tobytes() for each in ([1.0, 2.0], [3.0, 4.0])]
    assert single.predict(DataType.FLOATS, frames, LONG_S)[0] == [b"[4.5]", b"[10.5]"]


def test_exit_code_of_a_kind_that_is_not_loaded(start, folder):
    write(folder, len)
    (folder / "keras_model.h5").touch()
    runtime = start(CLIPPER_MODEL_PATH=str(folder))
    assert runtime.code() == 3
    assert "error=ImportError" in runtime.log
    assert "keras_model.h5: Keras models are not supported here" in runtime.log


def test_function_without_its_folder(start, tmp_path):
    runtime = start(CLIPPER_MODEL_PATH=str(tmp_path / "nowhere"))
    assert runtime.code() == 1
    assert "nowhere: holds no func.pkl" in runtime.log


@pytest.mark.parametrize(
    ("inputs", "dtype", "given"),
    [
        (["grüezi", ""], object, ["grüezi".encode(), b""]),
        ([b"\x01\xff", b"\x02\x03"], np.int8, [[1, -1], [2, 3]]),
        ([np.array([1, 2], "<i4")], np.int32, [[1, 2]]),
        ([np.array([1.0]), np.array([2.0])], np.float64, [[1.0], [2.0]]),
    ],
)
def test_inputs_are_as_in_clipper(folder, inputs, dtype, given):
    seen = []
    model = clipper_directory.DirectoryModel(lambda batch: seen.append(batch) or batch)
    assert len(model.predict(inputs)) == len(inputs)
    assert (seen[0].dtype, seen[0].tolist()) == (dtype, given)


def test_vectors_of_several_lengths_stay_vectors():
    batch = clipper_directory.clipper_batch([np.array([1.0]), np.array([2.0, 3.0])])
    assert (batch.shape, batch.dtype) == ((2,), object)
    assert [each.tolist() for each in batch] == [[1.0], [2.0, 3.0]]


def test_outputs_become_texts():
    model = clipper_directory.DirectoryModel(lambda _: [1, 0.5, None, b"a", "b"])
    assert model.predict(["x"] * 5) == ["1", "0.5", "None", "b'a'", "b"]
    for none in (None, "ab", {"a": 1}):  # what is no list of outputs is left for the container to refuse
        assert clipper_directory.DirectoryModel(lambda _, none=none: none).predict(["x", "y"]) is none


@pytest.mark.parametrize(
    "run",
    [
        lambda model, batch: model.run(batch),
        lambda model, batch: model.run([batch]),
        lambda model, batch: model.run({"x": batch}),
        lambda model, batch: model.run(None, {model.get_inputs()[0].name: batch}),
        lambda model, batch: model.run([model.get_outputs()[0].name], {"x": batch}),
    ],
)
def test_onnx(folder, run):
    shape = ["batch", 2]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "twice",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])
    checker.check_model(model)
    save(model, folder / "model.onnx")

    def predict(model, inputs):
        return [each.tolist() for each in run(model, np.array(inputs).astype(np.float32))[0]]

    write(folder, predict)
    loaded = clipper_directory.load(folder, threads=1)
    assert loaded.predict([np.array([1.0, 2.0]), np.array([3.0, 4.0])]) == ["[2.0, 4.0]", "[6.0, 8.0]"]


def test_onnx_with_another_number_of_inputs():
    class Session:
        def get_inputs(self):
            return [type("Input", (), {"name": name}) for name in ("x", "mask")]

    with pytest.raises(ValueError, match=r"^1 inputs for a model that takes 'x', 'mask'$"):
        clipper_directory.PreparedModel(Session()).run(np.ones(3))


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("keras_model.h5", "Keras"),
        ("tfmodel", "TensorFlow"),
        ("mxnet_model_metadata.json", "MXNet"),
    ],
)
def test_kinds_that_are_not_loaded(folder, name, library):
    (folder / "func.pkl").write_bytes(b"never read")
    (folder / name).mkdir()
    with pytest.raises(ImportError, match=f"{name}: {library} models are not supported here") as caught:
        clipper_directory.load(folder, 1)
    assert caught.value.name == library.lower()


def test_garbage_is_no_function(folder):
    (folder / "func.pkl").write_bytes(b"garbage")
    with pytest.raises(InputError, match=r"func.pkl: cannot be loaded: UnpicklingError: .*of the version that wrote"):
        clipper_directory.load(folder, 1)
    write(folder, 3)
    with pytest.raises(InputError, match=r"func.pkl: holds an object of type int, not a function"):
        clipper_directory.load(folder, 1)


def test_modules_that_are_missing(folder, monkeypatch):
    (folder / "func.pkl").write_bytes(b"cno_such_module\nf\n.")
    with pytest.raises(
        InputError, match=r"func.pkl: needs module 'no_such_module', which is not installed"
    ) as caught:
        clipper_directory.load(folder, 1)
    assert isinstance(caught.value.__cause__, ImportError)
    write(folder, lambda inputs: inputs)
    for name in ("cloudpickle", "cloudpickle.cloudpickle"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"needs cloudpickle: pip install 'inferline\[callable\]'"):
        clipper_directory.load(folder, 1)


def test_plain_pickles_load_too(folder):
    (folder / "func.pkl").write_bytes(pickle.dumps(list, protocol=0))
    assert clipper_directory.load(folder, 1).predict(["a"]) == ["b'a'"]


def test_weights_that_are_missing(folder):
    write(folder, lambda _, inputs: inputs)
    write(folder, {}, "pytorch_model.pkl")
    with pytest.raises(InputError, match=r"pytorch_weights.pkl: cannot be loaded: FileNotFoundError"):
        clipper_directory.load(folder, 1)
