"""The target: sets of replicas and serving cores as containers of one engine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from time import monotonic

from inferline.errors import OutsideError
from serving_adapter.replicas.docker import labels
from serving_adapter.replicas.docker.changes import Standing, changes
from serving_adapter.replicas.docker.connection import Connection
from serving_adapter.replicas.docker.documents import core_container, unused_container
from serving_adapter.replicas.docker.ending import Ending
from serving_adapter.replicas.docker.labels import CORE, REPLICA, UNUSED
from serving_adapter.replicas.docker.making import create, found_by_containers
from serving_adapter.replicas.docker.options import DockerOptions
from serving_adapter.replicas.docker.seen import Seen, phase_of
from serving_adapter.replicas.ports import choose_ports
from serving_adapter.replicas.protocol import CoreAddress, CoreOptions, Phase, Replica, ReplicaSet, SetKey

__all__ = ["DockerTarget"]

_CORE_GRACE_S = 60.0
"""For the queries in flight, which the serving core waits for 30 s itself."""

_NO_CORE_GRACE_S = 5.0
"""For replicas whose core has ended: there is nobody left to answer."""

_ASK_S = 0.5
"""How long a replica that is not ready is not asked again: each time a process is started in its container."""


class DockerTarget:
    """A `serving_adapter.replicas.Target` in a container engine: Docker, or Podman behind ``podman system service``.

    Each replica is a container with the restart policy ``always``. Docker starts one that ended again after 0.1 s,
    then twice as long each time, up to a minute; Podman does at once.

    Parameters
    ----------
    options
        Where the engine is, and how replicas and the core become containers.

    Raises
    ------
    InputError
        When the engine's client is not installed.
    OutsideError
        When the engine cannot be reached.
    """

    def __init__(self, options: DockerOptions | None = None) -> None:
        self._options = options or DockerOptions()
        self._connection = Connection(self._options.url)
        self._ending = Ending(self._connection)
        self._loaded: dict[str, float] = {}  # what is known to be ready, and since which start: it is until the next
        self._asked: dict[str, float] = {}  # when each was asked last

    def start_core(self, deployment: str, options: CoreOptions) -> CoreAddress:
        """Have a serving core run for a deployment, and keep it running; changes nothing when it runs already.

        It listens on the machine's own network, or in a network of the engine's; then its ports are published at the
        host in the options.

        Raises
        ------
        OutsideError
            When the engine cannot be reached or refuses, a port is taken, or the core's container is not ours.
        """
        there = self._core(deployment)
        if there is not None:
            if not there.runs and there.status != "restarting":
                self._connection.start(there.id, there.name)
            return _address(there)
        if 0 in (options.query_port, options.admin_port, options.rpc_port):
            options = choose_ports(options)
        at = CoreAddress(
            host=options.host,
            query_port=options.query_port,
            admin_port=options.admin_port,
            rpc_port=options.rpc_port,
        )
        container = core_container(deployment, self._options, at, options.arguments)
        identity = self._connection.create(container)
        try:
            self._connection.start(identity, container["name"])
        except OutsideError:
            self._connection.remove(identity)  # or the next call would find it, with the ports of this one
            raise
        return at

    def core(self, deployment: str) -> CoreAddress | None:
        """Return where the serving core of a deployment listens; None when there is none.

        Raises
        ------
        OutsideError
            When the engine cannot be reached or refuses.
        """
        there = self._core(deployment)
        return None if there is None else _address(there)

    def core_trouble(self, deployment: str) -> str:
        """Return how the serving core's container has ended, and what it said last; see `Target`.

        Raises
        ------
        OutsideError
            When the engine cannot be reached or refuses.
        """
        there = self._core(deployment)
        if there is None or (there.runs and not there.restarts):
            return ""
        said = self._connection.last_words(there.id)
        reason = there.error or f"exit code {there.exit_code}, {there.restarts} restarts"
        return f"container {there.name} is {there.status}: {reason}" + (f"; it last wrote: {said}" if said else "")

    def start(self, wanted: ReplicaSet, core: CoreAddress) -> None:
        """Have exactly so many such replicas, and keep them running; see `Target.start`.

        Raises
        ------
        InputError
            When the set asks for more cores or accelerators than the options name, or the core's address means
            nothing inside a container.
        OutsideError
            When the engine cannot be reached or refuses, has no such image, or cannot isolate replicas as asked.
        """
        there = self._of(wanted.deployment, wanted.key)
        standing = [Standing(each, self._phase(each)) for each in there if each.role == REPLICA]
        due = changes(standing, wanted.replicas)
        if due.create:
            contained = None if self._core(wanted.deployment) is None else wanted.deployment
            found = found_by_containers(self._options, core, contained)
            names = {each.name for each in there}
            create(self._connection, self._options, wanted, due.create, core=found, names=names)
        for each in due.begin:
            self._connection.start(each.id, each.name)
        unused = [each for each in there if each.role == UNUSED]
        if not wanted.replicas and not unused:
            self._connection.create(unused_container(wanted, self._options))
        if wanted.replicas:
            for each in unused:
                self._connection.remove(each.id)
        left_behind = [each for each in there if each.stopping]
        self._ending.end(([*due.end, *left_behind], self._options.grace_s))

    def stop(self, deployment: str, key: SetKey | None = None) -> None:
        """Stop a set, or all of a deployment with its core, and forget it; nothing when it is not there.

        The core ends before the replicas that it needs for the queries in flight. This process does not end before
        they have, unless it is killed.

        Raises
        ------
        OutsideError
            When the engine cannot be reached or refuses.
        """
        there = self._of(deployment, key)
        for each in there:
            if each.role == UNUSED:
                self._connection.remove(each.id)
        cores, replicas = ([each for each in there if each.role == role] for role in (CORE, REPLICA))
        self._ending.end((cores, _CORE_GRACE_S), (replicas, _NO_CORE_GRACE_S if cores else self._options.grace_s))

    def list(self, deployment: str) -> tuple[Replica, ...]:
        """Return the replicas that there are, whatever their phase.

        Raises
        ------
        OutsideError
            When the engine cannot be reached or refuses.
        """
        there = sorted(self._of(deployment), key=lambda each: each.created_s)
        return tuple(self._replica(each) for each in there if each.role == REPLICA)

    def requested(self, deployment: str) -> Mapping[SetKey, int]:
        """Return how many replicas of each set are asked for: as many as there are that have not been told to end.

        Raises
        ------
        OutsideError
            When the engine cannot be reached or refuses.
        """
        asked: dict[SetKey, int] = {}
        for each in self._of(deployment):
            if each.role in {REPLICA, UNUSED} and not each.stopping:
                key = _key(each)
                asked[key] = asked.get(key, 0) + (each.role == REPLICA)
        return asked

    def close(self) -> None:
        """Wait for what has been told to end, and let go of connections; what runs goes on."""
        self._ending.join()
        self._connection.close()

    def _core(self, deployment: str) -> Seen | None:
        found = self._connection.find([f"{labels.DEPLOYMENT}={deployment}", f"{labels.ROLE}={CORE}"])
        return next((each for each in found if not each.stopping), None)

    def _of(self, deployment: str, key: SetKey | None = None) -> Sequence[Seen]:
        there = self._connection.find([f"{labels.DEPLOYMENT}={deployment}"])
        return [each for each in there if key is None or (each.role != CORE and _key(each) == key)]

    def _phase(self, seen: Seen) -> Phase:
        return phase_of(seen, ready=seen.runs and not seen.stopping and self._is_loaded(seen))

    def _is_loaded(self, seen: Seen) -> bool:
        """Whether the replica's model is loaded; asked until it is, and again after it was started anew."""
        if self._loaded.get(seen.id) != seen.started_s:
            now_s = monotonic()
            if now_s - self._asked.get(seen.id, -math.inf) < _ASK_S:
                return False
            self._asked[seen.id] = now_s
            if not self._connection.has_file(seen.id, seen.labels.get(labels.READY_FILE, "")):
                return False
            self._loaded[seen.id] = seen.started_s
        return True

    def _replica(self, seen: Seen) -> Replica:
        phase = self._phase(seen)
        said = self._connection.last_words(seen.id) if phase == "failed" else ""
        reason = seen.error or f"exit code {seen.exit_code}"
        return Replica(
            id=seen.name,
            key=_key(seen),
            phase=phase,
            restarts=seen.restarts,
            since_s=seen.started_s or seen.created_s,
            message=": ".join(part for part in (reason, said) if part) if phase == "failed" else "",
        )


def _key(seen: Seen) -> SetKey:
    try:
        return labels.read_key(seen.labels)
    except KeyError as error:
        raise OutsideError(f"container {seen.name!r} has InferLine's labels, but not {error}: remove it") from error


def _address(core: Seen) -> CoreAddress:
    try:
        return labels.read_core(core.labels)
    except (KeyError, ValueError) as error:
        raise OutsideError(f"container {core.name!r} is a serving core, and does not say where: remove it") from error
