"""The engine behind its API: every call to it is here; every failure becomes an OutsideError that says what for."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import IO, Any

from inferline.errors import InputError, OutsideError
from serving_adapter.replicas.docker.documents import Container
from serving_adapter.replicas.docker.seen import Seen, read_seen

__all__ = ["Connection"]

TIMEOUT_S = 60.0
"""How long the engine may take for an answer; the start of a container can be slow."""

_CONNECTIONS = 100
"""That are kept: each container that is being stopped has one."""

_SOME_VERSION = "1.41"
"""Of the API: to ask with which one to talk needs none, and the client wants one."""

_GONE = 404
_ALREADY_SO = 409
_NO_SUCH = "no such container"
_ENDED = "on running containers"
_ATTEMPTS = 10
_LAST_LINES = 3
_LONGEST = 1000


class Connection:
    """A container engine.

    Parameters
    ----------
    url
        Where it listens; None for what ``DOCKER_HOST`` says, else Docker's own socket.

    Raises
    ------
    InputError
        When the client is not installed.
    OutsideError
        When the engine cannot be reached.
    """

    def __init__(self, url: str | None) -> None:
        self._docker = _client_package()
        self.place = url or os.environ.get("DOCKER_HOST") or "Docker's own socket"
        with self.asked("looking for the engine"):
            asking = self._connect(url, _SOME_VERSION)
            try:
                # Podman takes a second to say which version it is; how it answers this says that too.
                answer = asking.api.get(f"{asking.api.base_url}/_ping", timeout=TIMEOUT_S)
                answer.raise_for_status()
            finally:
                asking.close()
            self._client = self._connect(url, answer.headers.get("Api-Version") or "auto")
        self.podman = _version(answer.headers.get("Libpod-Api-Version"))
        """The version of Podman; None when the engine is Docker."""

    def _connect(self, url: str | None, version: str) -> Any:  # noqa: ANN401 - the client has no types
        if url is None:
            return self._docker.from_env(version=version, timeout=TIMEOUT_S, max_pool_size=_CONNECTIONS)
        return self._docker.DockerClient(base_url=url, version=version, timeout=TIMEOUT_S, max_pool_size=_CONNECTIONS)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @contextmanager
    def asked(self, what: str) -> Iterator[None]:
        """Turn what the client raises inside into an OutsideError that says what was tried."""
        errors = self._docker.errors
        try:
            yield
        except errors.APIError as error:
            raise OutsideError(f"container engine at {self.place}: {what}: {error.explanation or error}") from error
        except (errors.DockerException, OSError) as error:  # requests' errors are OSErrors
            raise OutsideError(
                f"container engine at {self.place}: {what}: {error}; is the engine running there, and may you use it?"
            ) from error

    def find(self, labels: Iterable[str]) -> list[Seen]:
        """Return the containers that have these labels, ``name`` or ``name=value``, whether they run or not."""
        wanted, api = {"label": list(labels)}, self._client.api
        found: list[Seen] = []
        with self.asked("listing containers"):
            for each in self._listed(wanted):
                with self._tolerating(_GONE):
                    found.append(read_seen(api.inspect_container(each["Id"])))
        return found

    def _listed(self, wanted: Mapping[str, list[str]]) -> list[dict[str, Any]]:
        """Return the engine's list; Podman before 5 has none when a container goes while it is being made."""
        for _ in range(_ATTEMPTS):
            with self._tolerating(_GONE):
                return list(self._client.api.containers(all=True, filters=dict(wanted)))
        raise OutsideError(
            f"container engine at {self.place}: containers go while they are listed, {_ATTEMPTS} times"
        )

    def create(self, container: Container) -> str:
        """Make a container; return its id."""
        with self.asked(f"making container {container['name']!r}"):
            try:
                return str(self._client.containers.create(**container).id)
            except self._docker.errors.ImageNotFound as error:
                raise OutsideError(
                    f"container engine at {self.place}: there is no image {container['image']!r}: build it there, or "
                    f"pull it ({error.explanation})"
                ) from error

    def start(self, identity: str, name: str) -> None:
        """Start a container; nothing when it runs."""
        with self.asked(f"starting container {name!r}"):
            self._client.api.start(identity)

    def rename(self, identity: str, name: str) -> None:
        """Give a container another name."""
        with self.asked(f"renaming a container to {name!r}"), self._tolerating(_GONE):
            self._client.api.rename(identity, name)

    def stop(self, identity: str, grace_s: float) -> None:
        """Tell a container to end, and return when it has: it is killed after so many seconds.

        To send it a signal would do for Docker; Podman starts what has ended after one again.
        """
        with self.asked("stopping a container"), self._tolerating(_GONE, _ALREADY_SO):
            self._client.api.stop(identity, timeout=math.ceil(grace_s))

    def remove(self, identity: str) -> None:
        """Remove a container, killing what still runs in it."""
        with self.asked("removing a container"), self._tolerating(_GONE, _ALREADY_SO):
            self._client.api.remove_container(identity, force=True, v=True)

    def has_file(self, identity: str, path: str) -> bool:
        """Whether a file is there in a running container; False when it does not run.

        Asked inside of it: a sandbox may keep what is written from the engine.
        """
        said: dict[str, Any] = {}
        with self.asked("asking a replica whether it is ready"), self._tolerating(_GONE, _ALREADY_SO):
            asking = self._client.api.exec_create(identity, ["test", "-f", path])["Id"]
            self._client.api.exec_start(asking)
            said = self._client.api.exec_inspect(asking)
        return said.get("ExitCode") == 0 and not said["Running"]  # the code is 0 before there is one

    def last_words(self, identity: str) -> str:
        """Return the last that a container has said."""
        said = b""
        with self.asked("reading the log of a container"), self._tolerating(_GONE, _ALREADY_SO):
            said = self._client.api.logs(identity, tail=_LAST_LINES)
        lines = (line.strip() for line in said.decode(errors="replace").splitlines())
        return " / ".join(line for line in lines if line)[-_LONGEST:]

    def runtime(self) -> str:
        """Return the OCI runtime of containers for which none is named."""
        with self.asked("asking for its runtime"):
            return str(self._client.info().get("DefaultRuntime") or "")

    def build(self, context: IO[bytes], containerfile: str, tag: str, arguments: Mapping[str, str]) -> str:
        """Build an image; return its id."""
        with self.asked(f"building image {tag!r}"):
            try:
                image, _ = self._client.images.build(
                    fileobj=context,
                    custom_context=True,
                    dockerfile=containerfile,
                    tag=tag,
                    buildargs=dict(arguments),
                    rm=True,
                    forcerm=True,
                    timeout=None,
                )
            except self._docker.errors.BuildError as error:
                said = "".join(part.get("stream", "") for part in error.build_log).strip().splitlines()
                last = " / ".join(said[-10:])
                raise OutsideError(
                    f"container engine at {self.place}: building image {tag!r}: {error}; {last}"
                ) from error
        return str(image.id)

    def push(self, image: str) -> None:
        """Push an image to the registry that its name begins with."""
        with self.asked(f"pushing image {image!r}"):
            for said in self._client.api.push(image, stream=True, decode=True):
                if "error" in said:
                    raise OutsideError(f"container engine at {self.place}: pushing image {image!r}: {said['error']}")

    @contextmanager
    def _tolerating(self, *codes: int) -> Iterator[None]:
        """Let refusals of these statuses pass: the container is gone, or as it should be."""
        try:
            yield
        except self._docker.errors.APIError as error:
            # Podman says both with status 500.
            gone = _GONE in codes and _NO_SUCH in str(error.explanation)
            ended = _ALREADY_SO in codes and _ENDED in str(error.explanation)
            if error.status_code not in codes and not gone and not ended:
                raise


def _version(text: str | None) -> tuple[int, ...] | None:
    return None if text is None else tuple(int(number) for number in re.findall(r"\d+", text)[:2])


def _client_package() -> ModuleType:
    try:
        import docker  # noqa: PLC0415 - optional
    except ImportError as error:
        raise InputError("the docker target needs docker: pip install 'inferline[docker]'") from error
    package: ModuleType = docker
    return package
