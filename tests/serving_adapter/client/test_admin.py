import socket

import pytest

from inferline.errors import InputError, OutsideError
from serving_adapter.client import AdminClient


@pytest.fixture(scope="module")
def admin(cluster):
    with AdminClient(f"http://{cluster.connection.get_admin_addr()}/") as client:
        yield client


def test_application(admin):
    assert admin.get_application("sums") is None
    said = admin.add_app("sums", "d", "-1.0", 100_000, policy="Exp3", queue_order="deadline")
    assert said == "Successfully added application with name 'sums'"
    about = {
        "name": "sums",
        "input_type": "doubles",
        "default_output": "-1.0",
        "latency_slo_micros": 100_000,
        "linked_models": [],
    }
    assert admin.get_application("sums") == about
    assert about in admin.get_all_applications()
    assert admin.get_state("sums") == "-1.0"
    assert admin.delete_app("sums") == "Successfully deleted application with name 'sums'"
    assert admin.get_application("sums") is None


def test_model_and_links(admin):
    admin.add_app("app", "strings", "", 100_000)
    admin.add_model("reader", "1", "strings", labels=["a", "b"], container_name="image", model_data_path="/m")
    admin.add_model("reader", "2", "strings", batch_size=8, batching="aimd", batch_wait_micros=100)
    first = {
        "model_name": "reader",
        "model_version": "1",
        "input_type": "strings",
        "labels": ["a", "b"],
        "container_name": "image",
        "model_data_path": "/m",
        "is_current_version": False,
    }
    assert admin.get_model("reader", "1") == first
    assert admin.get_model("reader", "3") is None
    said = admin.add_model_links("app", ["reader"])
    assert said == "Successfully linked model with name 'reader' to application 'app'"
    assert admin.get_linked_models("app") == ["reader"]
    assert admin.set_model_version("reader", "1") == "Successfully set model with name 'reader' to version '1'"
    assert [each["is_current_version"] for each in admin.get_all_models()] == [True, False]
    assert (admin.get_all_containers(), admin.get_container("reader", "1", 0)) == ([], None)
    assert admin.delete_model_links("app", ["reader"]) == "Success!"
    assert admin.get_linked_models("app") == []
    admin.delete_versioned_model("reader", "1")
    admin.delete_versioned_model("reader", "2")
    assert admin.get_all_models() == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda admin: admin.delete_app("none"), "/admin/delete_app: Application 'none' does not exist"),
        (
            lambda admin: admin.add_model_links("none", ["m"]),
            "/admin/add_model_links: No app with name 'none' exists.",
        ),
        (
            lambda admin: admin.add_model("a,b", "1", "doubles"),
            "/admin/add_model: Invalid model name supplied: a,b. Contains one of: ',', ':'",
        ),
        (
            lambda admin: admin.add_app("a", "lists", "", 1),
            "/admin/add_app: lists is not a valid input string",
        ),
    ],
)
def test_what_is_refused_says_the_call_and_the_reason(admin, call, message):
    with pytest.raises(InputError) as caught:
        call(admin)
    assert str(caught.value) == f"POST {admin.url}{message}"


def test_what_is_no_json(admin):
    with pytest.raises(InputError, match=r"^add_app: cannot be sent as JSON: "):
        admin.add_app("a", object(), "", 1)


def test_ready(admin, cluster, answering):
    query_url = f"http://{cluster.connection.get_query_addr()}"
    admin.ping()
    assert admin.ready(query_url)
    assert "counters" in admin.metrics(query_url)
    assert not admin.ready(answering(503, b"{}"))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert not admin.ready(f"http://127.0.0.1:{port}")
    with AdminClient(f"http://127.0.0.1:{port}") as nobody:
        assert not nobody.ready(query_url)


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with AdminClient(url) as admin, pytest.raises(OutsideError) as caught:
        admin.get_all_models()
    assert str(caught.value).startswith(f"POST {url}/admin/get_all_models: ")
    assert str(caught.value).endswith("; is a serving core there?")


def test_nobody_answers():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with AdminClient(url, timeout_s=0.05) as admin, pytest.raises(OutsideError) as caught:
            admin.ping()
    assert str(caught.value) == f"GET {url}/admin/ping: no answer within 0.05 s"


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (503, b"Redis is away", "the server answered 503: Redis is away"),
        (302, b"", "the server answered 302: (nothing)"),
        (200, b"<html>", "the answer is none of this interface (JSON is malformed"),
        (200, b'[{"model_name": 1}]', "the answer is none of this interface (Expected `str`, got `int` - at `$[0]"),
        (200, b"\xff", "the answer is none of this interface ("),
    ],
)
def test_answers_of_something_else(answering, status, body, message):
    url = answering(status, body)
    with AdminClient(url) as admin, pytest.raises(OutsideError) as caught:
        admin.get_all_models()
    assert str(caught.value).startswith(f"POST {url}/admin/get_all_models: {message}")


def test_another_server(answering):
    said = r"/admin/ping: the server answered 404: no such page$"
    with AdminClient(answering(404, b"no such page")) as admin, pytest.raises(InputError, match=said):
        admin.ping()
    with AdminClient(answering(200, b"hello")) as admin, pytest.raises(OutsideError, match=r"it answered hello$"):
        admin.ping()


@pytest.mark.parametrize("url", ["127.0.0.1:1338", "ftp://host", ""])
def test_what_is_no_url(url):
    with pytest.raises(InputError, match=r"is no URL of an administration interface"):
        AdminClient(url)


@pytest.mark.parametrize("url", ["http://host:port", "http://[::1", "http://\x00"])
def test_urls_that_mean_nothing(url):
    with AdminClient(url) as admin, pytest.raises(InputError, match=r"is no URL: "):
        admin.ping()


def test_token(start_cluster):
    connection = start_cluster("--admin-token", "secret", token="secret").connection
    assert connection.get_all_models() == []
    with AdminClient(f"http://{connection.get_admin_addr()}", token="guessed") as admin:
        admin.ping()
        with pytest.raises(InputError, match=r"401: A bearer token is needed\. Give the token that the server"):
            admin.get_all_models()


def test_without_httpx(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "httpx", None)
    with pytest.raises(InputError, match=r"pip install 'inferline\[http\]'"):
        AdminClient()


PIPELINE = {
    "version": 1,
    "name": "cascade",
    "slo": {"latency": "200ms", "percentile": 99},
    "profiles": "profiles.csv",
    "hardware": {"cpu-1": {"price": "$0.1/h"}},
    "stages": {"detect": {"model": "detector"}, "rank": {"model": "ranker", "after": ["detect"]}},
    "workload": {"trace": "trace.csv"},
    "models": {"detector": {"callable": "a:b", "input_type": "doubles"}, "ranker": {"directory": "ranker"}},
}


def plan(max_batch):
    rank = {"model": "ranker", "hardware": "cpu-1", "max_batch": max_batch, "replicas": 2}
    return {"version": 1, "pipeline": "cascade", "stages": {"detect": {**rank, "model": "detector"}, "rank": rank}}


def test_pipeline(admin):
    assert admin.get_pipeline("cascade") is None
    said = admin.add_pipeline(PIPELINE, plan(4), versions={"rank": "2"}, deadline_micros=2_000_000)
    assert said == "Successfully added pipeline with name 'cascade'"
    with pytest.raises(InputError, match=r"/admin/add_pipeline: pipeline 'cascade' already exists"):
        admin.add_pipeline(PIPELINE, plan(4))
    about = admin.get_pipeline("cascade")
    assert about == admin.get_all_pipelines()[0]
    assert (about["pipeline"], about["plan"], about["deadline_micros"]) == (PIPELINE, plan(4), 2_000_000)
    assert about["versions"] == {"detect": "1", "rank": "2"}
    rank = {"model": "cascade.rank", "version": "2", "input_type": "doubles", "max_batch": 4, "replicas": 0}
    assert {key: about["stages"]["rank"][key] for key in rank} == rank
    admin.set_batch_size("cascade", "rank", 16)
    assert admin.get_pipeline("cascade")["stages"]["rank"]["max_batch"] == 16
    admin.set_plan("cascade", plan(8), versions={"rank": "3"})
    rank = admin.get_pipeline("cascade")["stages"]["rank"]
    assert (rank["max_batch"], rank["version"]) == (8, "3")
    seen = admin.observe_pipeline("cascade", since={"rank": 3})
    assert (seen["stages"]["rank"]["first"], seen["stages"]["detect"]["arrivals_ns"]) == (3, [])
    assert admin.observe_pipeline("none") is None
    assert admin.delete_pipeline("cascade") == "Successfully deleted pipeline with name 'cascade'"
    assert admin.get_all_pipelines() == []
