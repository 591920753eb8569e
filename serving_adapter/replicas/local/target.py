"""Replicas as processes of this machine."""

from __future__ import annotations

import http.client
import os
import ssl
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

from inferline.errors import InputError, OutsideError
from serving_adapter.replicas.local.asking import ask
from serving_adapter.replicas.local.folders import LOGS, file_name, home
from serving_adapter.replicas.local.launches import command_of
from serving_adapter.replicas.local.messages import Reply, Request
from serving_adapter.replicas.protocol import CoreAddress, CoreOptions, Replica, ReplicaSet, SetKey

__all__ = ["LocalTarget"]

_CORE_S = 60.0
_POLL_S = 0.05
_ANSWER_S = 2.0
_FAILURES = 2
"""A serving core that has ended so often in a row does not start; once may be chance."""


class LocalTarget:
    """Replicas as processes of this machine, looked after by a supervisor of their deployment that outlives this one.

    Each replica is kept on its cores: as many as its hardware has CPUs, those that have been given away least. There
    may be more replicas than cores; `Replica.message` says so. All of it needs Linux.

    Parameters
    ----------
    folder
        Where deployments are kept; None for ``$INFERLINE_HOME``, else ``inferline`` in ``$XDG_STATE_HOME``, else in
        ``~/.local/state``.

    Raises
    ------
    OutsideError
        When there is none, because nobody knows the user's home.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._home = home(os.environ) if folder is None else folder.absolute()

    def folder(self, deployment: str) -> Path:
        """Return where a deployment is kept: its logs, and what is asked for."""
        return self._home / file_name(deployment)

    def start_core(self, deployment: str, options: CoreOptions) -> CoreAddress:
        """Have a serving core run for a deployment, and return when it answers; see `Target`.

        Its state is in the deployment's folder; ports that were free ones stay the same when it is started again.
        """
        asked = Request(do="start_core", options=options)
        until_s = monotonic() + _CORE_S
        while True:
            reply = self._ask(deployment, asked)
            if reply is None or reply.core is None:
                raise OutsideError(f"the serving core of {deployment!r} was stopped by somebody else")
            if _answers(reply.core, tls=any(each.startswith("--tls-cert") for each in options.arguments)):
                return reply.core
            reason = f"; {reply.core_reason}" if reply.core_reason else ""
            log = self.folder(deployment) / LOGS / "core.log"
            if reply.core_failures >= _FAILURES and reason:
                raise OutsideError(f"the serving core of {deployment!r} does not start{reason} (see {log})")
            if monotonic() >= until_s:
                raise OutsideError(
                    f"the serving core of {deployment!r} does not answer after {_CORE_S:g} s{reason} (see {log})"
                )
            asked = Request(do="show")
            sleep(_POLL_S)

    def core(self, deployment: str) -> CoreAddress | None:
        """Return where the serving core listens, or will; None when none is to run."""
        reply = self._ask(deployment, Request(do="show"))
        return None if reply is None else reply.core

    def core_trouble(self, deployment: str) -> str:
        """Return why the serving core has ended the last time, as long as it does not run; see `Target`."""
        reply = self._ask(deployment, Request(do="show"))
        return "" if reply is None else reply.core_reason

    def start(self, wanted: ReplicaSet, core: CoreAddress) -> None:
        """Have exactly so many such replicas, and keep them running; see `Target`.

        Those that run go on as they are, whatever the entry says now; those that are started from now on follow it.

        Raises
        ------
        InputError
            When the model is a container without a command to run here, or the number is negative.
        """
        if wanted.replicas < 0:
            raise InputError(f"stage {wanted.stage!r}: {wanted.replicas} replicas; expected at least 0")
        command_of(wanted.entry)
        entry = replace(wanted.entry, folder=wanted.entry.folder.absolute())
        self._ask(wanted.deployment, Request(do="start", wanted=replace(wanted, entry=entry), core=core))

    def stop(self, deployment: str, key: SetKey | None = None) -> None:
        """Stop a set, or all of a deployment with its core, and forget it; see `Target`.

        With the whole deployment goes what the serving core has kept; logs stay.
        """
        self._ask(deployment, Request(do="stop", key=key))

    def list(self, deployment: str) -> tuple[Replica, ...]:
        """Return the replicas that there are, whatever their phase."""
        reply = self._ask(deployment, Request(do="show"))
        return () if reply is None else reply.replicas

    def requested(self, deployment: str) -> Mapping[SetKey, int]:
        """Return how many replicas of each set are asked for, whoever asked for them."""
        reply = self._ask(deployment, Request(do="show"))
        return {} if reply is None else dict(reply.requested)

    def close(self) -> None:
        """Do nothing: each call has had a connection of its own."""

    def _ask(self, deployment: str, request: Request) -> Reply | None:
        return ask(self.folder(deployment), request)


def _answers(core: CoreAddress, *, tls: bool) -> bool:
    """Whether the serving core can take queries."""
    connection: http.client.HTTPConnection
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is told nothing that matters
        connection = http.client.HTTPSConnection(core.host, core.query_port, timeout=_ANSWER_S, context=context)
    else:
        connection = http.client.HTTPConnection(core.host, core.query_port, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
