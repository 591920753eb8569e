"""The administration interface over real sockets: all sixteen paths, their texts and their effects."""

import httpx
import pytest

MODEL = {
    "model_name": "m",
    "model_version": "1",
    "labels": ["a", "b"],
    "input_type": "doubles",
    "container_name": "image",
    "model_data_path": "DEPRECATED",
    "batch_size": -1,
}
APP = {"name": "app", "input_type": "d", "default_output": "0", "latency_slo_micros": 20_000}


def said(server, path, **document):
    reply = server.ask(path, **document)
    assert reply.headers["content-type"] == "application/json"
    return reply.status_code, reply.text


def test_a_life_of_an_application(server):
    assert said(server, "add_app", **APP) == (200, "Successfully added application with name 'app'")
    assert said(server, "add_app", **APP) == (400, "application 'app' already exists")
    assert said(server, "get_all_applications", verbose=False) == (200, '["app"]')
    described = {
        "input_type": "doubles",
        "default_output": "0",
        "latency_slo_micros": 20_000,
        "name": "app",
        "linked_models": [],
    }
    assert server.ask("get_all_applications", verbose=True).json() == [described]
    assert server.ask("get_application", name="app").json() == described
    assert server.ask("get_application", name="none").json() == {}
    assert said(server, "get_state", app_name="app", uid=7) == (200, "0")
    assert said(server, "get_linked_models", app_name="app") == (200, "[]")
    assert said(server, "get_linked_models", app_name="x") == (400, "No application with name 'x' exists.")
    assert said(server, "delete_app", name="app") == (200, "Successfully deleted application with name 'app'")
    assert said(server, "delete_app", name="app") == (400, "Application 'app' does not exist")
    assert server.predict("app", input=[1.0]).status_code == 404


def test_a_life_of_a_model(server):
    done = "Successfully added model with name 'm' and input type 'doubles'"
    assert said(server, "add_model", **MODEL) == (200, done)
    assert said(server, "add_model", **MODEL) == (400, "model with name 'm' and version '1' already exists")
    assert said(server, "add_model", **{**MODEL, "model_version": "2", "labels": []}) == (200, done)
    assert said(server, "get_all_models", verbose=False) == (200, '["m:1","m:2"]')
    described = {
        "model_name": "m",
        "model_version": "1",
        "input_type": "doubles",
        "labels": ["a", "b"],
        "container_name": "image",
        "model_data_path": "DEPRECATED",
        "is_current_version": False,
    }
    assert server.ask("get_model", model_name="m", model_version="1").json() == described
    second = {**described, "model_version": "2", "labels": [""], "is_current_version": True}
    assert server.ask("get_all_models", verbose=True).json() == [described, second]
    assert server.ask("get_model", model_name="m", model_version="3").json() == {}
    assert said(server, "set_model_version", model_name="m", model_version="1") == (
        200,
        "Successfully set model with name 'm' to version '1'",
    )
    assert said(server, "set_model_version", model_name="x", model_version="1") == (
        400,
        "Cannot set version for nonexistent model 'x'",
    )
    assert said(server, "set_model_version", model_name="m", model_version="9") == (
        400,
        "Cannot set non-existent version '9' for model with name 'm'",
    )
    assert said(server, "delete_versioned_model", model_name="m", model_version="1") == (
        200,
        "Successfully deleted model with name 'm' and version '1'",
    )
    assert said(server, "delete_versioned_model", model_name="m", model_version="1") == (
        400,
        "model with name 'm' and version '1' does not exist",
    )
    assert said(server, "get_all_models", verbose=False) == (200, '["m:2"]')


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"batch_size": 0}, "The batch size must be positive or DEFAULT_BATCH_SIZE, which is -1"),
        ({"model_name": "a:b"}, "Invalid model name supplied: a:b. Contains one of: ',', ':'"),
        ({"model_version": "1,2"}, "Invalid model version supplied: 1,2. Contains one of: ',', ':'"),
        ({"labels": ["x:y"]}, "Invalid label supplied: x:y. Contains one of: ',', ':'"),
        ({"input_type": "Doubles"}, "Doubles is not a valid input string"),
    ],
)
def test_models_that_are_refused(server, change, text):
    assert said(server, "add_model", **{**MODEL, **change}) == (400, text)
    assert said(server, "get_all_models", verbose=False) == (200, "[]")


def test_links(server):
    server.ask("add_app", **APP)
    server.ask("add_app", **{**APP, "name": "words", "input_type": "strings"})
    link = {"app_name": "app", "model_names": ["m"]}
    assert said(server, "add_model_links", app_name="x", model_names=["m"]) == (400, "No app with name 'x' exists.")
    assert said(server, "add_model_links", **link) == (400, "No model with name 'm' exists.")
    server.ask("add_model", **MODEL)
    server.ask("add_model", **{**MODEL, "model_name": "n"})
    assert said(server, "add_model_links", app_name="words", model_names=["m"]) == (
        400,
        "Model with name 'm' has incompatible input_type 'doubles'. "
        "Requested app to link to has input_type 'strings'.",
    )
    assert said(server, "add_model_links", app_name="app", model_names=[]) == (
        400,
        "Please provide the name of the model that you want to link to the application 'app'",
    )
    assert said(server, "add_model_links", app_name="app", model_names=["m", "n"]) == (
        400,
        "Applications must be linked with at most one model. Attempted to add links to 2 models.",
    )
    linked = "Successfully linked model with name 'm' to application 'app'"
    assert said(server, "add_model_links", **link) == (200, linked)
    assert said(server, "add_model_links", **link) == (400, "The model with name 'm' is already linked to 'app'")
    assert said(server, "add_model_links", app_name="app", model_names=["n"]) == (
        400,
        "A model with name m is already linked to 'app'.",
    )
    assert said(server, "get_linked_models", app_name="app") == (200, '["m"]')
    incompatible = {**MODEL, "model_version": "2", "input_type": "ints"}
    assert said(server, "add_model", **incompatible) == (
        400,
        "Model with name 'm' is already linked to app 'app' using input type 'doubles'. The input type you provided "
        "for a new version of the model, 'integers', is not compatible.",
    )
    assert said(server, "delete_model_links", app_name="x", model_names=["m"]) == (400, "No app with name x exists.")
    assert said(server, "delete_model_links", app_name="app", model_names=["n"]) == (
        400,
        "Cannot remove nonexistent link between app app and model n",
    )
    assert said(server, "delete_model_links", **link) == (200, "Success!")
    assert said(server, "get_linked_models", app_name="app") == (200, "[]")


def test_a_new_application_does_not_inherit_the_links_of_a_deleted_one(server):
    server.ask("add_app", **APP)
    server.ask("add_model", **MODEL)
    server.link()
    server.ask("delete_app", name="app")
    server.ask("add_app", **APP)
    assert said(server, "get_linked_models", app_name="app") == (200, "[]")


def test_containers(server):
    server.ask("add_model", **MODEL)
    server.container(lambda inputs: ["1"] * len(inputs))
    described = {
        "model_id": "m:1",
        "model_name": "m",
        "model_version": "1",
        "model_replica_id": 0,
        "input_type": "doubles",
    }
    assert said(server, "get_all_containers", verbose=False) == (200, '["m:1:0"]')
    assert server.ask("get_all_containers", verbose=True).json() == [described]
    one = {"model_name": "m", "model_version": "1"}
    assert server.ask("get_container", **one, replica_id=0).json() == described
    assert server.ask("get_container", **one, replica_id=1).json() == {}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("{}", "Error parsing JSON: JSON object does not have required key: name. Expected JSON schema: "),
        (
            '{"name": 1}',
            "Error parsing JSON: Type mismatch! JSON key name expected type Stringbut found type Number.",
        ),
        ("{", "Error parsing JSON: JSON parse error: Missing a name for object member. (offset 1)\n."),
        ("[]", "JSON schema invalid"),
        (
            '{"name": "a", "input_type": "d", "default_output": "0", "latency_slo_micros": 2147483648}',
            "JSON key latency_slo_micros expected type Numberbut found type Number",
        ),
    ],
)
def test_faults_of_the_body_are_plain_texts(server, body, text):
    reply = server.admin.post("/admin/add_app", content=body)
    assert reply.status_code == 400
    assert text in reply.text


def test_several_models_need_a_policy_that_can_use_them(server):
    server.ask("add_model", **MODEL)
    server.ask("add_model", **{**MODEL, "model_name": "n"})
    assert server.ask("add_app", **APP, policy="none").status_code == 400
    assert server.ask("add_app", **APP, policy="Exp4").status_code == 200
    server.link("app", "m", "n")
    assert said(server, "get_linked_models", app_name="app") == (200, '["m","n"]')


def test_a_token_guards_everything_but_the_ping(serve):
    server = serve(token="secret")
    assert server.admin.get("/admin/ping").text == "PONG"
    refused = server.ask("get_all_models", verbose=False)
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    url = f"http://127.0.0.1:{server.server.admin_port}/admin/get_all_models"
    answers = [
        httpx.post(url, json={"verbose": False}, headers={"authorization": f"Bearer {token}"}).status_code
        for token in ("secret", "secrets")
    ]
    assert answers == [200, 401]
