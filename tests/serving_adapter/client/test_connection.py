"""One version after another, as somebody who deploys would see them."""

import httpx
import pytest

from inferline.domain import Hardware
from inferline.errors import InputError, OutsideError
from serving_adapter.client import ClipperConnection
from serving_adapter.client.deployers.python import create_endpoint, deploy_python_closure
from serving_adapter.replicas import CoreAddress
from serving_adapter.replicas.local import LocalTarget


def times(factor):
    def function(inputs):
        return [float(factor * each.sum()) for each in inputs]

    return function


def test_versions_forth_and_back(cluster, eventually):
    connection = cluster.connection
    connection.register_application("sums", "doubles", "-1.0", 5_000_000)
    deploy_python_closure(connection, "adder", 1, "doubles", times(1), labels=["first"])
    assert connection.get_linked_models("sums") == []
    assert cluster.predict("sums", input=[1.5, 2.0])["default"]
    connection.link_model_to_app("sums", "adder")
    assert cluster.output("sums", [1.5, 2.0]) == 3.5

    deploy_python_closure(connection, "adder", 2, "doubles", times(2), num_replicas=2, batch_size=4)
    assert connection.get_current_model_version("adder") == "2"
    assert cluster.output("sums", [1.5, 2.0]) == 7.0
    assert cluster.output("sums", [1.5, 2.0], version="1") == 3.5
    assert cluster.replicas("adder") == ["1", "2", "2"]

    connection.set_model_version("adder", 1, num_replicas=2)
    assert cluster.output("sums", [1.5, 2.5]) == 4.0
    assert [connection.get_num_replicas("adder"), connection.get_num_replicas("adder", 2)] == [2, 2]

    connection.stop_inactive_model_versions(["adder"])
    assert connection.get_all_models() == ["adder:1"]
    assert connection.get_model_info("adder", 2) is None
    assert connection.get_model_info("adder", 1)["labels"] == ["first"]
    eventually(lambda: cluster.replicas("adder") == ["1", "1"])
    assert cluster.output("sums", [1.0, 1.5]) == 2.5
    deploy_python_closure(connection, "adder", 2, "doubles", times(3))  # the version is free again
    assert cluster.output("sums", [1.0]) == 3.0

    connection.unlink_model_from_app("sums", "adder")
    connection.stop_models(["adder"])
    assert (connection.get_all_models(), connection.get_num_replicas("adder", 1)) == ([], 0)
    eventually(lambda: cluster.replicas("adder") == [])
    connection.delete_application("sums")
    assert connection.get_app_info("sums") is None


def test_replicas_more_and_fewer(cluster, eventually):
    connection = cluster.connection
    about = {"version": "a", "default_output": "none", "slo_micros": 2_000_000}
    create_endpoint(connection, "scaled", "doubles", times(1), **about)
    assert connection.get_app_info("scaled")["linked_models"] == ["scaled"]
    connection.set_num_replicas("scaled", 2)
    registered = connection.get_all_model_replicas(verbose=True)
    first, second = (each for each in registered if each["model_name"] == "scaled")
    assert connection.get_model_replica_info("scaled", "a", first["model_replica_id"]) == first
    assert second["model_id"] == "scaled:a"
    connection.set_num_replicas("scaled", 0)
    assert connection.get_num_replicas("scaled") == 0
    eventually(lambda: cluster.replicas("scaled") == [])
    reply = cluster.predict("scaled", input=[1.0])
    assert (reply["output"], reply["default_explanation"]) == ("none", "No connected models found for query")

    other = ClipperConnection(LocalTarget(cluster.target.folder("x").parent))  # knows nothing but where things are
    with other:
        other.connect()
        assert other.get_query_addr() == connection.get_query_addr()
        other.set_num_replicas("scaled", 1, "a")
        assert cluster.output("scaled", [1.0]) == 1.0
        other.stop_versioned_models({"scaled": ["a"]})
    assert "scaled:a" not in connection.get_all_models()


def test_what_is_there(cluster):
    connection = cluster.connection
    connection.register_application("seen", "strings", "", 1000)
    assert "seen" in connection.get_all_apps()
    assert connection.get_app_info("seen") in connection.get_all_apps(verbose=True)
    assert connection.get_app_info("unseen") is None
    connection.register_model("outside", 3, "strings", labels=["x"])
    connection.link_model_to_app("seen", "outside")
    assert connection.get_linked_models("seen") == ["outside"]
    assert connection.get_model_info("outside", 3) in connection.get_all_models(verbose=True)
    assert connection.get_model_replica_info("outside", 3, 0) is None
    assert connection.get_metric_addr() == connection.get_query_addr()
    assert cluster.predict("seen", input="x")["default"]
    metrics = connection.inspect_instance()
    assert any("app:seen:prediction_latency" in each for each in metrics["histograms"])
    text = httpx.get(f"http://{connection.get_metric_addr()}/metrics", headers={"Accept": "text/plain"}).text
    assert "inferline_" in text
    connection.stop_models(["outside"])


def test_what_is_refused(cluster):
    connection = cluster.connection
    connection.register_application("taken", "doubles", "", 1000)
    with pytest.raises(InputError, match=r"application 'taken' already exists$"):
        connection.register_application("taken", "doubles", "", 1000)
    with pytest.raises(InputError, match=r"application 'taken' already exists$"):
        create_endpoint(connection, "taken", "doubles", times(1))
    with pytest.raises(InputError, match=r"No model with name 'nobody' exists.$"):
        connection.link_model_to_app("taken", "nobody")
    with pytest.raises(InputError, match=r"Cannot remove nonexistent link between app taken and model nobody$"):
        connection.unlink_model_from_app("taken", "nobody")
    with pytest.raises(InputError, match=r"Application 'nobody' does not exist$"):
        connection.delete_application("nobody")
    with pytest.raises(InputError, match=r"^no version of model 'nobody' is registered$"):
        connection.set_num_replicas("nobody", 1)
    with pytest.raises(InputError, match=r"^model 'nobody:1' is not registered$"):
        connection.set_num_replicas("nobody", 1, 1)
    with pytest.raises(InputError, match=r"Cannot set version for nonexistent model 'nobody'$"):
        connection.set_model_version("nobody", 1)
    connection.register_model("foreign", 1, "doubles")
    with pytest.raises(InputError, match=r"^model 'foreign:1' was registered without containers"):
        connection.set_num_replicas("foreign", 2)
    with pytest.raises(InputError, match=r"^model 'foreign:1' already exists; deploy another version$"):
        deploy_python_closure(connection, "foreign", 1, "doubles", times(1))
    with pytest.raises(InputError, match=r"^model 'foreign:2' is not registered$"):
        connection.stop_versioned_models({"foreign": [1, 2]})
    assert connection.get_model_info("foreign", 1) is not None  # nor is the other one stopped


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "-a", "a:b", "x" * 64])
def test_names_that_no_target_takes(cluster, name):
    with pytest.raises(InputError, match=r"cannot be deployed; accepted are letters and digits"):
        deploy_python_closure(cluster.connection, name, 1, "doubles", times(1))
    with pytest.raises(InputError, match=r"cannot be deployed; accepted are letters and digits"):
        deploy_python_closure(cluster.connection, "named", name, "doubles", times(1))
    with pytest.raises(InputError, match=r"cannot be deployed; accepted are letters and digits"):
        ClipperConnection(cluster.target, name)


def test_types_that_do_not_fit(cluster, eventually):
    connection = cluster.connection
    with pytest.raises(InputError, match=r"^'lists' is not a type of inputs; there are bytes, integers, floats"):
        deploy_python_closure(connection, "typed", 1, "lists", times(1))
    create_endpoint(connection, "typed", "doubles", times(1))
    with pytest.raises(InputError, match=r"'strings', is not compatible.$"):
        deploy_python_closure(connection, "typed", 2, "strings", len)
    assert connection.get_current_model_version("typed") == "1"
    assert connection.get_num_replicas("typed", 2) == 0  # those of the refused version are stopped
    eventually(lambda: cluster.replicas("typed") == ["1"])
    assert cluster.output("typed", [1.0]) == 1.0
    connection.stop_models(["typed"])


def test_model_that_does_not_load(cluster):
    def refuse():
        raise LookupError("no weights here")

    class Function:
        def __call__(self, inputs):
            return inputs

        def __reduce__(self):
            return refuse, ()

    with pytest.raises(OutsideError) as caught:
        create_endpoint(cluster.connection, "broken", "doubles", Function())
    said = str(caught.value)
    assert said.startswith("model 'broken:1': 0 of 1 replicas on default have registered at the serving core; ")
    assert "no weights here" in said
    assert cluster.connection.get_app_info("broken") is None
    assert cluster.connection.get_num_replicas("broken", 1) == 0
    assert cluster.connection.get_model_info("broken", 1) is None


def test_hardware_of_a_version(cluster):
    connection = cluster.connection
    gpu = Hardware(name="gpu", price_nano_usd_per_hour=0, accelerator="nvidia-none-such", accelerators=1)
    with pytest.raises(OutsideError, match=r"nvidia-none-such"):
        deploy_python_closure(connection, "accelerated", 1, "doubles", times(1), hardware=gpu)
    assert connection.get_model_info("accelerated", 1) is None


def test_without_a_connection(tmp_path):
    connection = ClipperConnection(LocalTarget(tmp_path), folder=tmp_path)
    for call in (connection.get_all_apps, connection.get_query_addr, connection.stop_all_model_containers):
        with pytest.raises(InputError, match=r"^not connected to a serving core: call start\(\) or connect"):
            call()
    nobody = CoreAddress(host="127.0.0.1", query_port=1, admin_port=1)
    with pytest.raises(
        OutsideError, match=r"^no serving core took queries at http://127.0.0.1:1 .* core there\?\); "
    ):
        ClipperConnection(LocalTarget(tmp_path), timeout_s=0).connect(nobody)


def test_all_stopped(start_cluster, eventually):
    cluster = start_cluster()
    connection = cluster.connection
    create_endpoint(connection, "short", "doubles", times(1))
    connection.register_model("outside", 1, "doubles")
    connection.stop_all_model_containers()
    assert connection.get_all_models() == ["outside:1"]
    eventually(lambda: cluster.replicas("short") == [])
    create_endpoint(connection, "again", "doubles", times(1))
    admin = connection.admin
    connection.stop_all()
    eventually(lambda: not cluster.target.list(connection.cluster_name))
    with pytest.raises(InputError, match=r"^not connected"):
        connection.get_all_apps()
    with pytest.raises(OutsideError, match=r"is a serving core there"):
        admin.__class__(admin.url).get_all_models()
