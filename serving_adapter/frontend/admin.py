"""The administration interface: what each of its paths answers and changes, as pure functions of the stored state.

The texts are Clipper's, word for word: its clients match on some of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from serving_adapter.core.endpoints import DEFAULT_POLICY
from serving_adapter.core.queueing import ORDERS
from serving_adapter.core.selection import POLICIES
from serving_adapter.core.versions import ADAPTIVE
from serving_adapter.frontend.admin_fields import Fields, read_fields
from serving_adapter.frontend.admin_replies import AdminReply, RefusedError, Write, text_reply
from serving_adapter.frontend.configuration import BATCHINGS
from serving_adapter.frontend.pipeline_admin import PIPELINE_PATHS
from serving_adapter.state import Application, ModelVersion, ReplicaRecord, Snapshot

__all__ = ["PATHS", "answer"]


def answer(path: str, body: bytes, snapshot: Snapshot) -> AdminReply:
    """Answer a POST to one of `PATHS`.

    Parameters
    ----------
    path
        The path, without a trailing slash.
    body
        The request's body.
    snapshot
        The state as it is stored now.

    Raises
    ------
    RequestError
        The request is answered with 400 and the error's cause.
    """
    fields, handler = PATHS[path]
    return handler(read_fields(body, fields), snapshot)


def _add_app(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    name = asked["name"]
    if name in snapshot.applications:
        raise RefusedError(f"application '{name}' already exists")
    if name in snapshot.pipelines:
        raise RefusedError(f"pipeline '{name}' already exists; an application needs a path of its own")
    policy = asked.get("policy", DEFAULT_POLICY)
    if policy not in POLICIES:
        raise RefusedError(f"no selection policy '{policy}'; there are {', '.join(sorted(POLICIES))}")
    order = asked.get("queue_order", "arrival")
    if order not in ORDERS:
        raise RefusedError(f"no queue order '{order}'; there are {', '.join(ORDERS)}")
    application = Application(
        name=name,
        input_type=asked["input_type"],
        default_output=asked["default_output"],
        latency_slo_micros=asked["latency_slo_micros"],
        policy=policy,
        queue_order=order,
    )
    return text_reply(
        f"Successfully added application with name '{name}'",
        Write("put_application", (application,)),
    )


def _delete_app(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    name = asked["name"]
    if name not in snapshot.applications:
        raise RefusedError(f"Application '{name}' does not exist")
    return text_reply(f"Successfully deleted application with name '{name}'", Write("delete_application", (name,)))


def _add_model(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    name, version, input_type = asked["model_name"], asked["model_version"], asked["input_type"]
    if asked["batch_size"] <= 0 and asked["batch_size"] != ADAPTIVE:
        raise RefusedError("The batch size must be positive or DEFAULT_BATCH_SIZE, which is -1")
    _check_name("model name", name)
    _check_name("model version", version)
    for label in asked["labels"]:
        _check_name("label", label)
    batching, wait_micros = asked.get("batching", ""), asked.get("batch_wait_micros", -1)
    if batching not in {"", *BATCHINGS}:
        raise RefusedError(f"no batching '{batching}'; there are {', '.join(BATCHINGS)}")
    if wait_micros < -1:
        raise RefusedError(f"batch_wait_micros is {wait_micros}; expected at least 0, or -1 for the server's")
    if (name, version) in snapshot.models:
        raise RefusedError(f"model with name '{name}' and version '{version}' already exists")
    _check_linked_types(name, input_type, snapshot)
    model = ModelVersion(
        name=name,
        version=version,
        input_type=input_type,
        labels=tuple(asked["labels"]),
        container_name=asked["container_name"],
        model_data_path=asked["model_data_path"],
        batch_size=asked["batch_size"],
        batching=batching,
        batch_wait_micros=wait_micros,
    )
    return text_reply(
        f"Successfully added model with name '{name}' and input type '{input_type}'",
        Write("put_model", (model,)),
        Write("set_current", (name, version)),
    )


def _check_name(what: str, value: str) -> None:
    if "," in value or ":" in value:
        raise RefusedError(f"Invalid {what} supplied: {value}. Contains one of: ',', ':'")


def _check_linked_types(model: str, input_type: str, snapshot: Snapshot) -> None:
    """Refuse a version whose inputs no application that links the model could send."""
    for name, linked in sorted(snapshot.links.items()):
        application = snapshot.applications.get(name)
        if model in linked and application is not None and application.input_type != input_type:
            raise RefusedError(
                f"Model with name '{model}' is already linked to app '{name}' using input type "
                f"'{application.input_type}'. The input type you provided for a new version of the model, "
                f"'{input_type}', is not compatible."
            )


def _delete_version(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    name, version = asked["model_name"], asked["model_version"]
    if (name, version) not in snapshot.models:
        raise RefusedError(f"model with name '{name}' and version '{version}' does not exist")
    return text_reply(
        f"Successfully deleted model with name '{name}' and version '{version}'",
        Write("delete_model", (name, version)),
    )


def _set_version(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    name, version = asked["model_name"], asked["model_version"]
    if not any(model == name for model, _ in snapshot.models):
        raise RefusedError(f"Cannot set version for nonexistent model '{name}'")
    model = snapshot.models.get((name, version))
    if model is None:
        raise RefusedError(f"Cannot set non-existent version '{version}' for model with name '{name}'")
    _check_linked_types(name, model.input_type, snapshot)
    return text_reply(
        f"Successfully set model with name '{name}' to version '{version}'", Write("set_current", (name, version))
    )


def _add_links(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    name, models = asked["app_name"], asked["model_names"]
    application = snapshot.applications.get(name)
    if application is None:
        raise RefusedError(f"No app with name '{name}' exists.")
    for model in models:
        registered = _current(model, snapshot)
        if registered is None:
            raise RefusedError(f"No model with name '{model}' exists.")
        if registered.input_type != application.input_type:
            raise RefusedError(
                f"Model with name '{model}' has incompatible input_type '{registered.input_type}'. Requested app to "
                f"link to has input_type '{application.input_type}'."
            )
    if not models:
        raise RefusedError(f"Please provide the name of the model that you want to link to the application '{name}'")
    linked = snapshot.links.get(name, frozenset())
    if application.policy == DEFAULT_POLICY:
        _check_only_link(name, models, linked)
    else:
        _check_new_links(name, models, linked)
    return text_reply(
        "\n".join(f"Successfully linked model with name '{model}' to application '{name}'" for model in models),
        Write("add_links", (name, tuple(models))),
    )


def _check_only_link(application: str, models: list[str], linked: Iterable[str]) -> None:
    """Clipper's rule: at most one model for an application."""
    if len(models) > 1:
        raise RefusedError(
            f"Applications must be linked with at most one model. Attempted to add links to {len(models)} models."
        )
    _check_new_links(application, models, linked)
    for other in linked:
        raise RefusedError(f"A model with name {other} is already linked to '{application}'.")


def _check_new_links(application: str, models: list[str], linked: Iterable[str]) -> None:
    for model in models:
        if model in linked:
            raise RefusedError(f"The model with name '{model}' is already linked to '{application}'")


def _delete_links(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    name, models = asked["app_name"], asked["model_names"]
    if name not in snapshot.applications:
        raise RefusedError(f"No app with name {name} exists.")
    for model in models:
        if model not in snapshot.links.get(name, ()):
            raise RefusedError(f"Cannot remove nonexistent link between app {name} and model {model}")
    return text_reply("Success!", Write("remove_links", (name, tuple(models))))


def _get_links(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    name = asked["app_name"]
    if name not in snapshot.applications:
        raise RefusedError(f"No application with name '{name}' exists.")
    return AdminReply(sorted(snapshot.links.get(name, ())))


def _get_apps(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    if not asked["verbose"]:
        return AdminReply(sorted(snapshot.applications))
    return AdminReply([_application(snapshot.applications[name], snapshot) for name in sorted(snapshot.applications)])


def _get_app(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    application = snapshot.applications.get(asked["name"])
    return AdminReply({} if application is None else _application(application, snapshot))


def _get_models(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    keys = sorted(snapshot.models)
    if not asked["verbose"]:
        return AdminReply([f"{name}:{version}" for name, version in keys])
    return AdminReply([_model(snapshot.models[key], snapshot) for key in keys])


def _get_model(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    model = snapshot.models.get((asked["model_name"], asked["model_version"]))
    return AdminReply({} if model is None else _model(model, snapshot))


def _get_containers(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    keys = sorted(snapshot.replicas)
    if not asked["verbose"]:
        return AdminReply([":".join(map(str, key)) for key in keys])
    return AdminReply([_container(snapshot.replicas[key]) for key in keys])


def _get_container(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    key = (asked["model_name"], asked["model_version"], asked["replica_id"])
    replica = snapshot.replicas.get(key)
    return AdminReply({} if replica is None else _container(replica))


def _get_state(asked: Mapping[str, Any], snapshot: Snapshot) -> AdminReply:
    application = snapshot.applications.get(asked["app_name"])
    if application is None:
        raise RefusedError(f"No application with name '{asked['app_name']}' exists.")
    return text_reply(application.default_output)


def _current(model: str, snapshot: Snapshot) -> ModelVersion | None:
    return snapshot.models.get((model, snapshot.current.get(model, "")))


def _application(application: Application, snapshot: Snapshot) -> dict[str, Any]:
    return {
        "input_type": application.input_type,
        "default_output": application.default_output,
        "latency_slo_micros": application.latency_slo_micros,
        "name": application.name,
        "linked_models": sorted(snapshot.links.get(application.name, ())),
    }


def _model(model: ModelVersion, snapshot: Snapshot) -> dict[str, Any]:
    return {
        "model_name": model.name,
        "model_version": model.version,
        "input_type": model.input_type,
        "labels": list(model.labels) or [""],
        "container_name": model.container_name,
        "model_data_path": model.model_data_path,
        "is_current_version": snapshot.current.get(model.name) == model.version,
    }


def _container(replica: ReplicaRecord) -> dict[str, Any]:
    return {
        "model_id": f"{replica.name}:{replica.version}",
        "model_name": replica.name,
        "model_version": replica.version,
        "model_replica_id": replica.replica_id,
        "input_type": replica.input_type,
    }


_Handler = Callable[[Mapping[str, Any], Snapshot], AdminReply]
_VERSION = Fields(model_name="String", model_version="String")
_VERBOSE = Fields(verbose="Bool")
_LINKS = Fields(app_name="String", model_names="Strings")

PATHS: Mapping[str, tuple[Fields, _Handler]] = MappingProxyType(
    {
        "/admin/add_app": (
            Fields(name="String", input_type="InputType", default_output="String", latency_slo_micros="Int32").may(
                policy="String", queue_order="String"
            ),
            _add_app,
        ),
        "/admin/delete_app": (Fields(name="String"), _delete_app),
        "/admin/add_model": (
            Fields(
                model_name="String",
                model_version="String",
                labels="Strings",
                input_type="InputType",
                container_name="String",
                model_data_path="String",
                batch_size="Int32",
            ).may(batching="String", batch_wait_micros="Int32"),
            _add_model,
        ),
        "/admin/delete_versioned_model": (_VERSION, _delete_version),
        "/admin/set_model_version": (_VERSION, _set_version),
        "/admin/add_model_links": (_LINKS, _add_links),
        "/admin/delete_model_links": (_LINKS, _delete_links),
        "/admin/get_linked_models": (Fields(app_name="String"), _get_links),
        "/admin/get_all_applications": (_VERBOSE, _get_apps),
        "/admin/get_application": (Fields(name="String"), _get_app),
        "/admin/get_all_models": (_VERBOSE, _get_models),
        "/admin/get_model": (_VERSION, _get_model),
        "/admin/get_all_containers": (_VERBOSE, _get_containers),
        "/admin/get_container": (
            Fields(model_name="String", model_version="String", replica_id="Int32"),
            _get_container,
        ),
        "/admin/get_state": (Fields(app_name="String", uid="Int64"), _get_state),
        **PIPELINE_PATHS,
    }
)
"""Every POST path with the keys that it takes; ``GET /admin/ping`` is answered beside them."""
