"""A deployment at a target and the serving core it belongs to: what is started at one and registered at the other."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from inferline.errors import InputError
from serving_adapter.client.admin import AdminClient
from serving_adapter.client.recorded import Deployed, read_deployed
from serving_adapter.client.starting import await_replicas
from serving_adapter.replicas import CoreAddress, SetKey, Target

__all__ = ["Cluster", "Version"]

Version = tuple[str, str]
"""Name and version of a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Both places, which are changed one after the other.

    Parameters
    ----------
    name
        The deployment at the target.
    target
        Where replicas run.
    at, inside
        Where the serving core is reached from here, and from there.
    admin
        Its administration interface.
    timeout_s
        How long replicas may take to register.
    """

    name: str
    target: Target
    at: CoreAddress
    inside: CoreAddress
    admin: AdminClient
    timeout_s: float

    def deploy(
        self,
        version: Version,
        deployed: Deployed,
        input_type: str,
        *,
        replicas: int,
        labels: Sequence[str],
        batch_size: int,
    ) -> None:
        """Start replicas of a new version, then make it the current one; when that fails, stop them again.

        A query finds replicas of whatever version is the current one.
        """
        wanted = deployed.replica_set(self.name, *version, replicas)
        try:
            self.scale(version, deployed, replicas)
            self.admin.add_model(
                *version,
                input_type,
                labels=labels,
                container_name=deployed.container_name,
                model_data_path=deployed.text,
                batch_size=batch_size,
            )
        except BaseException:
            self.target.stop(self.name, wanted.key)
            raise

    def scale(self, version: Version, deployed: Deployed, replicas: int) -> None:
        """Have so many replicas of a version, and wait until they have registered."""
        if replicas < 0:
            raise InputError(f"{replicas} replicas of model '{':'.join(version)}' are asked for; 0 is the least")
        wanted = deployed.replica_set(self.name, *version, replicas)
        self.target.start(wanted, self.inside)
        await_replicas(self.admin, self.target, wanted, self.timeout_s)

    def requested(self, version: Version) -> int:
        """Return how many replicas of a version the target is asked for."""
        return sum(count for key, count in self.target.requested(self.name).items() if _version(key) == version)

    def stop(self, versions: Collection[Version]) -> None:
        """Stop all replicas of these versions, and register them no more.

        Raises
        ------
        InputError
            When one is not registered; nothing is changed then.
        """
        for version in versions:
            self.deployed(version)
        for key in self.target.requested(self.name):
            if _version(key) in versions:
                self.target.stop(self.name, key)
        for version in versions:
            self.admin.delete_versioned_model(*version)

    def started(self) -> list[Version]:
        """Return the versions whose replicas were started at the target, those with none now too."""
        return list(dict.fromkeys(map(_version, self.target.requested(self.name))))

    def versions(self, name: str) -> list[Version]:
        """Return the registered versions of a model."""
        return [(name, each["model_version"]) for each in self.admin.get_all_models() if each["model_name"] == name]

    def current(self, name: str) -> Version:
        """Return the current version of a model.

        Raises
        ------
        InputError
            When no version of it is registered.
        """
        for each in self.admin.get_all_models():
            if each["model_name"] == name and each["is_current_version"]:
                return name, each["model_version"]
        raise InputError(f"no version of model '{name}' is registered")

    def deployed(self, version: Version) -> Deployed | None:
        """Return what is recorded with a version; None when its containers are started by somebody else.

        Raises
        ------
        InputError
            When it is not registered.
        """
        model = self.admin.get_model(*version)
        if model is None:
            raise InputError(f"model '{':'.join(version)}' is not registered")
        return read_deployed(model["model_data_path"])


def _version(key: SetKey) -> Version:
    return key.stage, key.version
