"""Models of every kind, written here and answering in replicas."""

import importlib
import os
import sys
import threading

import numpy as np
import pytest
from onnx import TensorProto, helper, save

from inferline.errors import InputError
from serving_adapter.client.deployers import onnx, python, pytorch, sklearn


@pytest.fixture
def loose(tmp_path, monkeypatch):
    """Return what imports a module that is written beside the test; it is forgotten after it."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(name, text):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        return importlib.import_module(name.removesuffix(".py").removesuffix("/__init__").replace("/", "."))

    yield write
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def test_unpickled_in_replicas_only(cluster, tmp_path):
    seen = tmp_path / "seen"

    def note(path):
        import os  # noqa: PLC0415 - of the replica's process
        from pathlib import Path  # noqa: PLC0415

        with Path(path).open("a") as file:
            file.write(f"{os.getpid()}\n")
        return lambda inputs: [str(os.getpid()) for _ in inputs]

    class Function:
        def __call__(self, inputs):
            return inputs

        def __reduce__(self):
            return note, (str(seen),)

    python.create_endpoint(cluster.connection, "where", "strings", Function(), num_replicas=2)
    pids = {str(cluster.output("where", str(number))) for number in range(50)}
    assert pids <= set(seen.read_text().split())
    assert str(os.getpid()) not in seen.read_text().split()
    assert len(seen.read_text().split()) == 2
    cluster.connection.stop_models(["where"])


def test_function_takes_its_modules_along(cluster, loose):
    loose("units.py", "FACTOR = 10.0\n")
    loose("scales/__init__.py", "")
    scales = loose("scales/linear.py", "import units\n\ndef scaled(inputs):\n    return units.FACTOR * inputs\n")

    def function(inputs):
        return [each.tolist() for each in scales.scaled(inputs)]

    python.create_endpoint(cluster.connection, "scale", "doubles", function)
    assert cluster.output("scale", [1.0, 2.0]) == [10.0, 20.0]
    cluster.connection.stop_models(["scale"])


def test_strings_and_bytes(cluster):
    python.create_endpoint(cluster.connection, "lengths", "s", lambda inputs: [len(each) for each in inputs])
    assert cluster.output("lengths", "größe") == 7  # in UTF-8, as Clipper's functions get them
    cluster.connection.stop_models(["lengths"])


def test_linear_regression(cluster):
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415 - slow

    x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    model = LinearRegression().fit(x, x @ [2.0, -1.0] + 0.5)
    sklearn.create_endpoint(cluster.connection, "regression", "doubles", model)
    assert cluster.output("regression", [3.0, 4.0]) == pytest.approx(2.5)
    python.deploy_python_closure(
        cluster.connection, "regression", 2, "doubles", lambda inputs: [2 * each for each in model.predict(inputs)]
    )
    assert cluster.output("regression", [3.0, 4.0]) == pytest.approx(5.0)
    cluster.connection.set_model_version("regression", 1)
    assert cluster.output("regression", [4.0, 4.0]) == pytest.approx(4.5)
    cluster.connection.stop_models(["regression"])
    with pytest.raises(InputError, match=r"^a LinearRegression has no method 'predict_proba'$"):
        sklearn.deploy_sklearn_model(cluster.connection, "r", 1, "doubles", model, "predict_proba")


def test_torch_module(cluster):
    import torch  # noqa: PLC0415 - slow

    module = torch.nn.Linear(2, 1)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[2.0, 1.0]]))
        module.bias.fill_(0.5)

    def predict(module, inputs):
        return [each.tolist() for each in module(torch.as_tensor(inputs)).detach().numpy()]

    pytorch.create_endpoint(cluster.connection, "linear", "floats", predict, module)
    assert cluster.output("linear", [1.0, 2.0]) == [4.5]
    cluster.connection.stop_models(["linear"])
    with pytest.raises(InputError, match=r"^a dict is no PyTorch module; give a torch.nn.Module$"):
        pytorch.deploy_pytorch_model(cluster.connection, "linear", 2, "floats", predict, {})


@pytest.fixture
def twice():
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "twice",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])],
    )
    return helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])


def test_onnx_model(cluster, twice, tmp_path):
    save(twice, tmp_path / "twice.onnx")
    connection = cluster.connection
    onnx.create_endpoint(connection, "twice", "floats", None, tmp_path / "twice.onnx")
    assert cluster.output("twice", [1.0, 2.0]) == [2.0, 4.0]

    def total(model, inputs):
        return [float(each.sum()) for each in model.run(inputs)[0]]

    onnx.deploy_onnx_model(connection, "twice", 2, "floats", total, twice)
    assert cluster.output("twice", [1.0, 2.0]) == 6.0
    connection.stop_models(["twice"])
    with pytest.raises(InputError, match=r"^no file nowhere.onnx$"):
        onnx.deploy_onnx_model(connection, "twice", 3, "floats", None, "nowhere.onnx")
    with pytest.raises(InputError, match=r"^a list is no ONNX model; give a file, its bytes or a ModelProto$"):
        onnx.deploy_onnx_model(connection, "twice", 3, "floats", None, [])


def test_directory_of_somebody_else(cluster, tmp_path):
    import cloudpickle  # noqa: PLC0415 - as Clipper's deployers have it

    (tmp_path / "func.pkl").write_bytes(cloudpickle.dumps(lambda inputs: [each.size for each in inputs], protocol=2))
    connection = cluster.connection
    connection.build_and_deploy_model("sizes", "1", "integers", tmp_path)
    connection.register_application("sizes", "integers", "", 5_000_000)
    connection.link_model_to_app("sizes", "sizes")
    (tmp_path / "func.pkl").unlink()  # what is deployed is a copy
    connection.set_num_replicas("sizes", 2)
    assert cluster.output("sizes", [1, 2, 3]) == 3
    connection.stop_models(["sizes"])
    with pytest.raises(InputError, match=r"^no model directory .*nowhere$"):
        connection.build_and_deploy_model("sizes", "2", "integers", tmp_path / "nowhere")


def test_image_is_for_other_targets(cluster):
    with pytest.raises(InputError, match=r"^image:1: models.image.command: is not set; the local target runs proc"):
        cluster.connection.deploy_model("image", 1, "doubles", "registry/image:1")
    assert cluster.connection.get_model_info("image", 1) is None


@pytest.mark.parametrize("function", [3, None, "source"])
def test_what_is_no_function(cluster, function):
    with pytest.raises(InputError, match=r"cannot be deployed as a function; give one that can be called$"):
        python.deploy_python_closure(cluster.connection, "none", 1, "doubles", function)


def test_options_that_there_are_none_of(cluster):
    with pytest.raises(InputError, match=r"^no option 'pkgs_to_install' of deploying; there are labels, num_repl"):
        python.create_endpoint(cluster.connection, "odd", "doubles", len, pkgs_to_install=["scipy"])
    assert cluster.connection.get_app_info("odd") is None


def test_what_cannot_be_pickled(cluster):
    lock = threading.Lock()
    with pytest.raises(InputError, match=r"^func.pkl: cannot be pickled: TypeError: "):
        python.deploy_python_closure(cluster.connection, "open", 1, "doubles", lambda inputs: [lock for _ in inputs])
    assert cluster.connection.get_model_info("open", 1) is None
