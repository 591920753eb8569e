"""The administration interface of a serving core, called over HTTP: one method for each of its paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

import msgspec

from inferline.errors import Fault, InputError, OutsideError
from serving_adapter.client.documents import (
    ApplicationDocument,
    ModelDocument,
    ObservationDocument,
    PipelineDocument,
    ReplicaDocument,
)

__all__ = ["DEFAULT_URL", "AdminClient"]

DEFAULT_URL = "http://127.0.0.1:1338"

_SHOWN = 300
"""Characters of a server's answer that a message shows."""

_Answer = TypeVar("_Answer")


class AdminClient:
    """A client of the administration interface; its connection is kept open until `close`.

    Every method but `ready` raises InputError when the server refuses the call (status 4xx), with the call and the
    server's own text, and OutsideError when the server cannot be reached, fails (5xx), or answers something else than
    this interface does. Calls that change something return the server's text. Nothing is tried twice.

    Parameters
    ----------
    url
        Where the interface is.
    token
        The bearer token that it asks for; None for none.
    timeout_s
        Seconds to wait for a connection, and for each part of an answer.

    Raises
    ------
    InputError
        When the URL is none, or httpx is not installed.

    Examples
    --------
    ::

        with AdminClient("http://127.0.0.1:1338") as admin:
            admin.add_app("sums", "doubles", "-1.0", 100_000)
    """

    def __init__(self, url: str = DEFAULT_URL, token: str | None = None, timeout_s: float = 10.0) -> None:
        httpx = _httpx()
        self.url = url.rstrip("/")
        self._timeout_s = timeout_s
        if not self.url.startswith(("http://", "https://")):
            raise InputError(Fault(url, "", f"is no URL of an administration interface; write it like {DEFAULT_URL}"))
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._client = httpx.Client(timeout=timeout_s)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def __enter__(self) -> AdminClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Is it there

    def ping(self) -> None:
        """Return when the interface answers."""
        url = f"{self.url}/admin/ping"
        answer = self._send("GET", url)
        if answer != b"PONG":
            raise OutsideError(f"GET {url}: no serving core is there: it answered {_shown(answer)}")

    def ready(self, query_url: str) -> bool:
        """Whether this interface answers, and the query interface at that URL takes queries.

        False as long as nothing listens there, so that it can be asked until it is so. A server that refuses the
        question, or is none of these, is not ready either.
        """
        try:
            self.ping()
            self._send("GET", f"{query_url.rstrip('/')}/ready")
        except (InputError, OutsideError):
            return False
        return True

    def metrics(self, query_url: str) -> dict[str, Any]:
        """Return the metrics of the query interface at that URL, as Clipper's JSON has them."""
        url = f"{query_url.rstrip('/')}/metrics"
        return _decoded(f"GET {url}", dict[str, Any], self._send("GET", url))

    # Applications

    def add_app(
        self,
        name: str,
        input_type: str,
        default_output: str,
        latency_slo_micros: int,
        *,
        policy: str | None = None,
        queue_order: str | None = None,
    ) -> str:
        """Register an application.

        Parameters
        ----------
        name
            Its name: queries go to ``/NAME/predict``.
        input_type
            ``integers``, ``floats``, ``doubles``, ``bytes`` or ``strings``.
        default_output
            What a query is answered when no model answers in time.
        latency_slo_micros
            How long a query may take, in microseconds.
        policy
            Selection policy; None for the server's, one linked model.
        queue_order
            ``arrival`` or ``deadline``; None for the server's.
        """
        return self._write(
            "add_app",
            name=name,
            input_type=input_type,
            default_output=default_output,
            latency_slo_micros=latency_slo_micros,
            policy=policy,
            queue_order=queue_order,
        )

    def delete_app(self, name: str) -> str:
        """Delete an application, with its links."""
        return self._write("delete_app", name=name)

    def get_application(self, name: str) -> ApplicationDocument | None:
        """Return an application; None when there is none of that name."""
        return self._read_one("get_application", ApplicationDocument, name=name)

    def get_all_applications(self) -> list[ApplicationDocument]:
        """Return all applications, in the order of their names."""
        return self._read("get_all_applications", list[ApplicationDocument], verbose=True)

    def get_state(self, app_name: str, uid: int = 0) -> str:
        """Return what an application answers by default."""
        return self._write("get_state", app_name=app_name, uid=uid)

    # Models

    def add_model(
        self,
        model_name: str,
        model_version: str,
        input_type: str,
        *,
        labels: Sequence[str] = (),
        container_name: str = "-",
        model_data_path: str = "-",
        batch_size: int = -1,
        batching: str | None = None,
        batch_wait_micros: int | None = None,
    ) -> str:
        """Register a version of a model, and make it the current one.

        Parameters
        ----------
        model_name, model_version
            Which; the version must be new.
        input_type
            Type of its inputs, as of an application.
        labels, container_name, model_data_path
            Kept with it; the server makes nothing of them.
        batch_size
            Its maximum batch size; -1 has the server find one.
        batching, batch_wait_micros
            How it is found, and how long a batch may wait to fill; None for the server's.
        """
        return self._write(
            "add_model",
            model_name=model_name,
            model_version=model_version,
            input_type=input_type,
            labels=list(labels),
            container_name=container_name,
            model_data_path=model_data_path,
            batch_size=batch_size,
            batching=batching,
            batch_wait_micros=batch_wait_micros,
        )

    def delete_versioned_model(self, model_name: str, model_version: str) -> str:
        """Delete a version of a model."""
        return self._write("delete_versioned_model", model_name=model_name, model_version=model_version)

    def set_model_version(self, model_name: str, model_version: str) -> str:
        """Make a registered version the current one."""
        return self._write("set_model_version", model_name=model_name, model_version=model_version)

    def get_model(self, model_name: str, model_version: str) -> ModelDocument | None:
        """Return a version of a model; None when it is not registered."""
        return self._read_one("get_model", ModelDocument, model_name=model_name, model_version=model_version)

    def get_all_models(self) -> list[ModelDocument]:
        """Return all versions of all models, in the order of their names."""
        return self._read("get_all_models", list[ModelDocument], verbose=True)

    def get_container(self, model_name: str, model_version: str, replica_id: int) -> ReplicaDocument | None:
        """Return a replica; None when there is none of that number."""
        document = {"model_name": model_name, "model_version": model_version, "replica_id": replica_id}
        return self._read_one("get_container", ReplicaDocument, **document)

    def get_all_containers(self) -> list[ReplicaDocument]:
        """Return all replicas that are registered, those of models that are not registered too."""
        return self._read("get_all_containers", list[ReplicaDocument], verbose=True)

    # Links

    def add_model_links(self, app_name: str, model_names: Sequence[str]) -> str:
        """Have an application ask these models."""
        return self._write("add_model_links", app_name=app_name, model_names=list(model_names))

    def delete_model_links(self, app_name: str, model_names: Sequence[str]) -> str:
        """Have an application ask these models no more."""
        return self._write("delete_model_links", app_name=app_name, model_names=list(model_names))

    def get_linked_models(self, app_name: str) -> list[str]:
        """Return the names of the models that an application asks."""
        return self._read("get_linked_models", list[str], app_name=app_name)

    # Pipelines

    def add_pipeline(
        self,
        pipeline: Mapping[str, Any],
        plan: Mapping[str, Any],
        *,
        versions: Mapping[str, str] | None = None,
        deadline_micros: int | None = None,
    ) -> str:
        """Register a pipeline with its plan, and a model for each stage.

        Parameters
        ----------
        pipeline, plan
            The documents of the pipeline file and of ``plan.json``.
        versions
            Version of the model of each stage; ``1`` where none is given.
        deadline_micros
            How long a query may take before it is given up, in microseconds; None for the server's.
        """
        return self._write(
            "add_pipeline", pipeline=pipeline, plan=plan, versions=versions, deadline_micros=deadline_micros
        )

    def set_plan(
        self,
        name: str,
        plan: Mapping[str, Any],
        *,
        versions: Mapping[str, str] | None = None,
        pipeline: Mapping[str, Any] | None = None,
    ) -> str:
        """Move a pipeline to a plan: its maximum batch sizes, and the versions that visits go to from now on.

        With `pipeline`, the document of its file, queries that come from now on take the way that this one says.
        """
        return self._write("set_plan", name=name, plan=plan, versions=versions, pipeline=pipeline)

    def set_batch_size(self, name: str, stage: str, max_batch: int) -> str:
        """Set the maximum batch size of a stage."""
        return self._write("set_batch_size", name=name, stage=stage, max_batch=max_batch)

    def delete_pipeline(self, name: str) -> str:
        """Delete a pipeline, with the models of its stages."""
        return self._write("delete_pipeline", name=name)

    def get_pipeline(self, name: str) -> PipelineDocument | None:
        """Return a pipeline; None when there is none of that name."""
        return self._read_one("get_pipeline", PipelineDocument, name=name)

    def get_all_pipelines(self) -> list[PipelineDocument]:
        """Return all pipelines, in the order of their names."""
        return self._read("get_all_pipelines", list[PipelineDocument], verbose=True)

    def observe_pipeline(self, name: str, since: Mapping[str, int] | None = None) -> ObservationDocument | None:
        """Return what has happened to each stage of a pipeline; None when there is none of that name.

        Parameters
        ----------
        name
            The pipeline.
        since
            Number of the first arrival to tell of, by stage; 0 where none is given.
        """
        return self._read_one("observe_pipeline", ObservationDocument, name=name, since=since)

    # How calls are made

    def _write(self, call: str, **document: object) -> str:
        return self._call(call, document).decode(errors="replace")

    def _read(self, call: str, kind: type[_Answer], **document: object) -> _Answer:
        return _decoded(self._tried(call), kind, self._call(call, document))

    def _read_one(self, call: str, kind: type[_Answer], **document: object) -> _Answer | None:
        """Return what is asked for; None when the answer is an empty object, as for what is not there."""
        answer = self._call(call, document)
        return None if answer.strip() == b"{}" else _decoded(self._tried(call), kind, answer)

    def _tried(self, call: str) -> str:
        return f"POST {self.url}/admin/{call}"

    def _call(self, call: str, document: Mapping[str, object]) -> bytes:
        given = {key: value for key, value in document.items() if value is not None}
        try:
            body = msgspec.json.encode(given)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InputError(Fault(call, "", f"cannot be sent as JSON: {error}")) from error
        return self._send("POST", f"{self.url}/admin/{call}", body, self._headers)

    def _send(
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        httpx = _httpx()
        tried = f"{method} {url}"
        try:
            answer = self._client.request(method, url, content=body, headers=headers)
        except httpx.TimeoutException as error:
            raise OutsideError(f"{tried}: no answer within {self._timeout_s:g} s") from error
        except httpx.HTTPError as error:
            raise OutsideError(f"{tried}: {error or type(error).__name__}; is a serving core there?") from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise InputError(Fault(url, "", f"is no URL: {error}; write it like {DEFAULT_URL}")) from error
        status = int(answer.status_code)
        content: bytes = answer.content
        if status == httpx.codes.OK:
            return content
        if status == httpx.codes.BAD_REQUEST:
            raise InputError(Fault(tried, "", content.decode(errors="replace")))
        said = f"the server answered {status}: {_shown(content) or '(nothing)'}"
        if status == httpx.codes.UNAUTHORIZED:
            said += " Give the token that the server was started with, as INFERLINE_ADMIN_TOKEN."
        if httpx.codes.is_client_error(status):
            raise InputError(Fault(tried, "", said))
        raise OutsideError(f"{tried}: {said}")


def _decoded(tried: str, kind: type[_Answer], answer: bytes) -> _Answer:
    try:
        return msgspec.json.decode(answer, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise OutsideError(f"{tried}: the answer is none of this interface ({error}): {_shown(answer)}") from error


def _httpx() -> Any:  # noqa: ANN401 - the module
    try:
        import httpx  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise InputError("administering a serving core needs httpx: pip install 'inferline[http]'") from error
    return httpx


def _shown(answer: bytes) -> str:
    return answer[:_SHOWN].decode(errors="replace")
