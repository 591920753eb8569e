"""What users of Clipper know as `ClipperConnection`, on any target."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Unpack

from inferline.domain import Hardware
from inferline.errors import InputError
from serving_adapter.client.admin import AdminClient
from serving_adapter.client.cluster import Cluster, Version
from serving_adapter.client.documents import ApplicationDocument, ModelDocument, ReplicaDocument
from serving_adapter.client.folders import default_folder, new_folder, remove_folder
from serving_adapter.client.images import build_model_image
from serving_adapter.client.options import DEFAULT_HARDWARE, DeployOptions, check_options
from serving_adapter.client.recorded import Deployed, checked_name, readable_type
from serving_adapter.client.starting import await_core
from serving_adapter.replicas import CoreAddress, CoreOptions, Target

__all__ = ["ClipperConnection"]

_CONNECT_S = 5.0
"""How long one that runs may be away, as when it is just started again."""

_NO_CONTAINER = "NO_CONTAINER"
"""What Clipper records of a version whose containers somebody else starts."""


class ClipperConnection:
    """Registers applications, and deploys, scales, rolls back and stops models, as Clipper's class of that name does.

    `start` or `connect` comes first. Every method raises InputError for what is refused, with the server's own text,
    and OutsideError when the serving core or the target cannot be reached or fails.

    Parameters
    ----------
    target
        Where replicas run: what Clipper calls a container manager.
    cluster_name
        The deployment that they, and the serving core, belong to there.
    hardware
        What each replica gets unless its version says otherwise.
    folder
        Where models are kept, which replicas are started from; `default_folder` when None.
    base_image, registry
        See `DeployOptions`; without a base image, replicas read the model where it is kept, as a target on this
        machine can.
    token
        Bearer token of the administration interface; None for none.
    timeout_s
        How long to wait for a serving core that is started, and for replicas to be ready.

    Examples
    --------
    ::

        with ClipperConnection(LocalTarget()) as connection:
            connection.start()
            connection.register_application("sums", "doubles", "-1.0", 100_000)
            deploy_python_closure(connection, "adder", 1, "doubles", lambda inputs: [sum(each) for each in inputs])
            connection.link_model_to_app("sums", "adder")
    """

    def __init__(
        self,
        target: Target,
        cluster_name: str = "default-cluster",
        *,
        hardware: Hardware = DEFAULT_HARDWARE,
        folder: str | Path | None = None,
        base_image: str = "",
        registry: str = "",
        token: str | None = None,
        timeout_s: float = 300.0,
    ) -> None:
        self.target = target
        self.cluster_name = checked_name("cluster", cluster_name)
        self._hardware = hardware
        self._folder = (default_folder(os.environ) if folder is None else Path(folder).absolute()) / self.cluster_name
        self._base_image = base_image
        self._registry = registry
        self._token = token
        self._timeout_s = timeout_s
        self._cluster: Cluster | None = None

    # The serving core

    def start(self, options: CoreOptions | None = None, at: CoreAddress | None = None) -> None:
        """Have a serving core run at the target, and connect to it; one that runs already is taken as it is.

        `at` is where it is reached from here, when that is not where replicas reach it: ``kubectl port-forward``.
        """
        inside = self.target.start_core(self.cluster_name, options or CoreOptions())
        self._connect(at or inside, inside, self._timeout_s)

    start_clipper = start

    def connect(self, at: CoreAddress | None = None) -> None:
        """Connect to a serving core that runs.

        `at` is where it is reached from here; None for where the target has one, else this machine's usual ports.
        """
        inside = self.target.core(self.cluster_name)
        at = at or inside or CoreAddress(host="127.0.0.1")
        self._connect(at, inside or at, min(self._timeout_s, _CONNECT_S))

    def _connect(self, at: CoreAddress, inside: CoreAddress, timeout_s: float) -> None:
        self.close()
        admin = AdminClient(f"http://{at.host}:{at.admin_port}", self._token)
        try:
            await_core(admin, _query_url(at), timeout_s)
        except BaseException:
            admin.close()
            raise
        self._cluster = Cluster(
            name=self.cluster_name, target=self.target, at=at, inside=inside, admin=admin, timeout_s=self._timeout_s
        )

    def close(self) -> None:
        """Let go of the serving core; it and the replicas go on, and the target stays open."""
        if self._cluster is not None:
            self._cluster.admin.close()
        self._cluster = None

    def __enter__(self) -> ClipperConnection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _connected(self) -> Cluster:
        if self._cluster is None:
            raise InputError("not connected to a serving core: call start() or connect() first")
        return self._cluster

    @property
    def admin(self) -> AdminClient:
        """The administration interface of the serving core."""
        return self._connected.admin

    def get_query_addr(self) -> str:
        """Return ``host:port`` of the query interface."""
        at = self._connected.at
        return f"{at.host}:{at.query_port}"

    def get_admin_addr(self) -> str:
        """Return ``host:port`` of the administration interface."""
        at = self._connected.at
        return f"{at.host}:{at.admin_port}"

    def get_metric_addr(self) -> str:
        """Return ``host:port`` of what Prometheus scrapes: ``/metrics`` of the query interface itself."""
        return self.get_query_addr()

    def inspect_instance(self) -> dict[str, Any]:
        """Return the metrics of the serving core."""
        return self.admin.metrics(_query_url(self._connected.at))

    # Applications

    def register_application(self, name: str, input_type: str, default_output: str, slo_micros: int) -> None:
        """Register an application: queries go to ``/NAME/predict``.

        Parameters
        ----------
        name
            Its name; no other application has it.
        input_type
            ``integers``, ``floats``, ``doubles``, ``bytes`` or ``strings``.
        default_output
            What a query is answered when no model answers in time.
        slo_micros
            How long a query may take, in microseconds.
        """
        self.admin.add_app(name, input_type, default_output, slo_micros)

    def delete_application(self, name: str) -> None:
        """Delete an application; its models stay."""
        self.admin.delete_app(name)

    unregister_application = delete_application

    def link_model_to_app(self, app_name: str, model_name: str) -> None:
        """Have the queries of an application go to a model; both have the same input type."""
        self.admin.add_model_links(app_name, [model_name])

    def unlink_model_from_app(self, app_name: str, model_name: str) -> None:
        """Have the queries of an application go to a model no more."""
        self.admin.delete_model_links(app_name, [model_name])

    def get_linked_models(self, app_name: str) -> list[str]:
        """Return the names of the models that an application is linked to."""
        return self.admin.get_linked_models(app_name)

    def get_all_apps(self, verbose: bool = False) -> list[Any]:
        """Return the names of all applications; each `ApplicationDocument` when `verbose`."""
        applications = self.admin.get_all_applications()
        return list(applications) if verbose else [each["name"] for each in applications]

    def get_app_info(self, name: str) -> ApplicationDocument | None:
        """Return an application; None when there is none of that name."""
        return self.admin.get_application(name)

    # Deploying

    def deploy_model(
        self,
        name: str,
        version: str | int,
        input_type: str,
        image: str,
        **options: Unpack[DeployOptions],
    ) -> None:
        """Deploy the image of a Clipper model container, as the target's engine finds it; see `deploy_written`."""
        key = self._new(name, version, input_type, options)
        self._deploy(key, input_type, {"container": image}, options)

    def build_and_deploy_model(
        self,
        name: str,
        version: str | int,
        input_type: str,
        model_data_path: str | Path,
        **options: Unpack[DeployOptions],
    ) -> None:
        """Deploy a copy of a model directory, as Clipper's deployers write it or those here; see `deploy_written`."""
        source = Path(model_data_path)
        if not source.is_dir():
            raise InputError(f"no model directory {source}")

        def write(folder: Path) -> Mapping[str, Any]:
            shutil.copytree(source, folder, dirs_exist_ok=True)
            return {"directory": "."}

        self.deploy_written(name, version, input_type, write, **options)

    def deploy_written(
        self,
        name: str,
        version: str | int,
        input_type: str,
        write: Callable[[Path], Mapping[str, Any]],
        **options: Unpack[DeployOptions],
    ) -> None:
        """Have a model written into a folder of its own, and deploy it.

        Its replicas have registered when it becomes the current version: no query falls between two versions. When
        anything fails, all is as it was before.

        Parameters
        ----------
        name, version
            Which; the version is new.
        input_type
            Type of its inputs.
        write
            Writes into the empty folder that it is given, and returns an entry as under ``models:`` of a pipeline
            file, whose file or directory is found from that folder.
        **options
            How it is deployed.
        """
        key = self._new(name, version, input_type, options)
        with new_folder(self._folder.joinpath(*key)) as folder:
            model = write(folder)
            base_image = options.get("base_image") or self._base_image
            if base_image:
                registry = options.get("registry") or self._registry
                model = {"container": build_model_image(key, model, folder, base_image, registry)}
            self._deploy(key, input_type, model, options)

    def register_model(
        self,
        name: str,
        version: str | int,
        input_type: str,
        image: str = _NO_CONTAINER,
        labels: Sequence[str] = (),
        batch_size: int = -1,
    ) -> None:
        """Register a version whose containers somebody else starts, and make it the current one."""
        key = name, str(version)
        self.admin.add_model(*key, input_type, labels=labels, container_name=image, batch_size=batch_size)

    def _new(self, name: str, version: str | int, input_type: str, options: DeployOptions) -> Version:
        """Return a version that is about to be deployed; what would be refused afterwards is refused now."""
        check_options(options)
        readable_type(input_type)
        key = checked_name("model", name), checked_name("version", version)
        if self.admin.get_model(*key) is not None:
            raise InputError(f"model '{':'.join(key)}' already exists; deploy another version")
        return key

    def _deploy(self, version: Version, input_type: str, model: Mapping[str, Any], options: DeployOptions) -> None:
        self._connected.deploy(
            version,
            Deployed(
                model={**model, "input_type": readable_type(input_type)},
                folder=str(self._folder.joinpath(*version)),
                hardware=options.get("hardware") or self._hardware,
            ),
            input_type,
            replicas=options.get("num_replicas", 1),
            labels=options.get("labels") or (),
            batch_size=options.get("batch_size", -1),
        )

    # Versions and replicas

    def get_current_model_version(self, name: str) -> str:
        """Return the current version of a model."""
        return self._connected.current(name)[1]

    def set_model_version(self, name: str, version: str | int, num_replicas: int | None = None) -> None:
        """Make a version the current one, back or forth.

        With `num_replicas`, so many of its replicas have registered before queries go to it.
        """
        if num_replicas is not None:
            self.set_num_replicas(name, num_replicas, version)
        self.admin.set_model_version(name, str(version))

    def get_num_replicas(self, name: str, version: str | int | None = None) -> int:
        """Return how many replicas of a version are asked for; of the current one when it is None."""
        return self._connected.requested(self._which(name, version))

    def set_num_replicas(self, name: str, num_replicas: int, version: str | int | None = None) -> None:
        """Have so many replicas of a version, the current one when it is None; wait until they have registered."""
        which = self._which(name, version)
        deployed = self._connected.deployed(which)
        if deployed is None:
            raise InputError(
                f"model '{':'.join(which)}' was registered without containers, which somebody else starts; "
                "only what is deployed here can be scaled here"
            )
        self._connected.scale(which, deployed, num_replicas)

    def _which(self, name: str, version: str | int | None) -> Version:
        return self._connected.current(name) if version is None else (name, str(version))

    def get_all_models(self, verbose: bool = False) -> list[Any]:
        """Return ``NAME:VERSION`` of all versions of all models; each `ModelDocument` when `verbose`."""
        models = self.admin.get_all_models()
        return list(models) if verbose else [f"{each['model_name']}:{each['model_version']}" for each in models]

    def get_model_info(self, name: str, version: str | int) -> ModelDocument | None:
        """Return a version of a model; None when it is not registered."""
        return self.admin.get_model(name, str(version))

    def get_all_model_replicas(self, verbose: bool = False) -> list[Any]:
        """Return ``NAME:VERSION:REPLICA`` of all registered replicas; each `ReplicaDocument` when `verbose`."""
        replicas = self.admin.get_all_containers()
        return list(replicas) if verbose else [f"{each['model_id']}:{each['model_replica_id']}" for each in replicas]

    def get_model_replica_info(self, name: str, version: str | int, replica_id: int) -> ReplicaDocument | None:
        """Return a replica; None when there is none of that number."""
        return self.admin.get_container(name, str(version), replica_id)

    # Stopping

    def stop_models(self, model_names: Collection[str]) -> None:
        """Stop all replicas of all versions of these models, and register them no more."""
        self._stop([version for name in model_names for version in self._connected.versions(name)])

    def stop_versioned_models(self, model_versions_dict: Mapping[str, Collection[str | int]]) -> None:
        """Stop all replicas of these versions, by model, the current ones too, and register them no more."""
        self._stop([(name, str(each)) for name, versions in model_versions_dict.items() for each in versions])

    def stop_inactive_model_versions(self, model_names: Collection[str]) -> None:
        """Stop the versions of these models that are not the current ones, and register them no more."""
        models = [each for each in self.admin.get_all_models() if each["model_name"] in model_names]
        self._stop([(each["model_name"], each["model_version"]) for each in models if not each["is_current_version"]])

    def stop_all_model_containers(self) -> None:
        """Stop all replicas that were deployed, and register their versions no more; the serving core goes on."""
        self._stop(self._connected.started())

    def stop_all(self) -> None:
        """Stop the serving core and all replicas, and forget the models that were kept; needs no connection."""
        self.close()
        self.target.stop(self.cluster_name)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _stop(self, versions: Collection[Version]) -> None:
        self._connected.stop(versions)
        for version in versions:
            remove_folder(self._folder.joinpath(*version))


def _query_url(at: CoreAddress) -> str:
    return f"http://{at.host}:{at.query_port}"
