"""Making the replicas that are missing: where they go, what runs them, and where they find the serving core."""

from __future__ import annotations

from collections.abc import Collection
from itertools import count, islice
from pathlib import PurePath

from inferline.domain import Hardware
from inferline.errors import InputError, OutsideError
from serving_adapter.replicas.docker.connection import Connection
from serving_adapter.replicas.docker.documents import CORE_PORTS, replica_container
from serving_adapter.replicas.docker.labels import REPLICA, ROLE, core_name, replica_name
from serving_adapter.replicas.docker.options import HOST_NETWORK, DockerOptions
from serving_adapter.replicas.docker.placing import Place, accelerators_of, place, read_place
from serving_adapter.replicas.protocol import CoreAddress, ReplicaSet

__all__ = ["create", "found_by_containers"]

_PODMAN_WITH_CDI = (5, 4)
"""The first whose API gives accelerators to containers; those before pass over them without a word."""

_ANYWHERE = frozenset({"0.0.0.0", "::", ""})
_LOOPBACK = ("127.", "localhost", "::1")


def create(
    connection: Connection,
    options: DockerOptions,
    wanted: ReplicaSet,
    missing: int,
    *,
    core: tuple[str, int],
    names: Collection[str],
) -> None:
    """Make and start so many replicas of a set.

    Parameters
    ----------
    connection, options
        The engine, and the target's options.
    wanted
        The set.
    missing
        How many.
    core
        Host and port where they find the serving core.
    names
        Those that containers of the set have already.

    Raises
    ------
    InputError
        When the set asks for more cores or accelerators than the options name, or for an isolation that they do not.
    OutsideError
        When the engine cannot be reached or refuses, has no such image, or cannot isolate replicas as asked.
    """
    runtime = _runtime(connection, options, wanted.hardware)
    cdi = _takes_cdi(connection, wanted)
    beside = _places(connection, options)
    free = (name for number in count() if (name := replica_name(wanted, number)) not in names)
    for name in islice(free, missing):
        beside.append(place(wanted, options, beside))
        container = replica_container(
            wanted, options, name=name, core=core, chosen=beside[-1], runtime=runtime, cdi=cdi
        )
        connection.start(connection.create(container), name)


def found_by_containers(options: DockerOptions, core: CoreAddress, contained: str | None) -> tuple[str, int]:
    """Return where replicas find the core.

    Parameters
    ----------
    options
        The target's: which network they are in.
    core
        Where it is to be found from outside.
    contained
        The deployment whose core runs in that network too; None when it runs elsewhere.

    Raises
    ------
    InputError
        When the address means something else inside a container.

    Examples
    --------
    >>> found_by_containers(DockerOptions(), CoreAddress(host="0.0.0.0"), None)
    ('127.0.0.1', 7000)
    >>> found_by_containers(DockerOptions(network="models"), CoreAddress(host="10.0.0.5", rpc_port=7001), None)
    ('10.0.0.5', 7001)
    """
    if options.network == HOST_NETWORK:
        return "127.0.0.1" if core.host in _ANYWHERE else core.host, core.rpc_port
    if contained is not None:
        return core_name(contained), CORE_PORTS.rpc_port
    if core.host in _ANYWHERE or core.host.startswith(_LOOPBACK):
        raise InputError(
            f"a container in network {options.network!r} does not find the serving core at {core.host!r}, which is "
            f"the container itself there; let the core run in that network too, name an address of the machine that "
            f"it listens on, or take network {HOST_NETWORK!r}"
        )
    return core.host, core.rpc_port


def _runtime(connection: Connection, options: DockerOptions, hardware: Hardware) -> str | None:
    """Return the OCI runtime to name for a replica; raise rather than run one less isolated than it should be."""
    if hardware.isolation is None:
        return None
    runtime = options.runtimes.get(hardware.isolation)
    if runtime is None:
        known = ", ".join(options.runtimes)
        raise InputError(
            f"hardware {hardware.name!r}: no OCI runtime is named for {hardware.isolation}, only for {known}"
        )
    if connection.podman is None:
        return runtime
    taken = connection.runtime()
    if PurePath(taken).name != PurePath(runtime).name:
        raise OutsideError(
            f"hardware {hardware.name!r} asks for {hardware.isolation}, but Podman at {connection.place} runs every "
            f"container with {taken!r}: it takes the runtime from its service, not from who asks; take the socket of "
            f"a service that was started as: podman --runtime {runtime} system service"
        )
    return None


def _takes_cdi(connection: Connection, wanted: ReplicaSet) -> bool:
    """Whether accelerators are asked for by the Container Device Interface."""
    podman = connection.podman
    if podman is not None and podman < _PODMAN_WITH_CDI and accelerators_of(wanted):
        there, least = (".".join(map(str, each)) for each in (podman, _PODMAN_WITH_CDI))
        raise OutsideError(
            f"stage {wanted.stage!r} asks for accelerators, which the API of Podman gives since {least}; "
            f"{connection.place} is {there}"
        )
    return podman is not None


def _places(connection: Connection, options: DockerOptions) -> list[Place]:
    """Return where the replicas of every deployment are, when that counts."""
    if not options.cores and not options.accelerators:
        return []
    return [read_place(each.labels) for each in connection.find([f"{ROLE}={REPLICA}"])]
