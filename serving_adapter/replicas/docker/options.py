"""What the container engine's target is told beside the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["HOST_NETWORK", "IMAGE", "DockerOptions"]

IMAGE = "localhost/inferline:latest"
"""``localhost/`` is what Podman calls images that were built there; to Docker it is a part of the name."""

HOST_NETWORK = "host"

_RUNTIMES = {"gvisor": "runsc", "kata": "kata"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerOptions:
    """How replicas and the serving core become containers.

    Parameters
    ----------
    url
        Where the engine listens: ``unix:///run/podman/podman.sock``, ``tcp://HOST:PORT``, ``ssh://USER@HOST``; None
        for what ``DOCKER_HOST`` says, else Docker's own socket.
    image
        Image that holds InferLine (`inferline[serve]` and what the models need) and the pipeline's folder, as
        `build_image` makes it. It runs the core, and the replicas of every model but those of kind ``container``,
        which name their own. It is not pulled.
    folder
        The pipeline's folder in that image.
    network
        ``host`` for the machine's own network, or the name of one that is there and has names: the core's ports are
        then published, and replicas find it by its container's name.
    cores
        Cores of the engine's machine to keep replicas on, each on those that the fewest others have; empty to give
        each replica its share of the time of all cores.
    accelerators
        Numbers or UUIDs of the GPUs of the engine's machine that replicas may have; empty to leave it to the engine,
        which gives each the first ones.
    memory_bytes
        Most memory of a replica, by hardware; no limit for hardware that is not named.
    runtimes
        OCI runtime by isolation.
    grace_s
        How long a container that is told to end may take for the batch, or the queries, in hand.
    """

    url: str | None = None
    image: str = IMAGE
    folder: str = "/pipeline"
    network: str = HOST_NETWORK
    cores: tuple[int, ...] = ()
    accelerators: tuple[str, ...] = ()
    memory_bytes: Mapping[str, int] = field(default_factory=dict)
    runtimes: Mapping[str, str] = field(default_factory=lambda: dict(_RUNTIMES))
    grace_s: float = 30.0
