"""The ports of a serving core, chosen before it starts, so that they stay when it is started again."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import replace

from inferline.errors import OutsideError
from serving_adapter.replicas.protocol import CoreOptions

__all__ = ["choose_ports"]


def choose_ports(options: CoreOptions) -> CoreOptions:
    """Return the options with a free port where it says 0.

    Raises
    ------
    OutsideError
        When a port that it names is taken, or the host is none of this machine.
    """
    with ExitStack() as held:  # all at once, so that no two are the same
        query, admin, rpc = (
            _free(held, options.host, port) for port in (options.query_port, options.admin_port, options.rpc_port)
        )
        return replace(options, query_port=query, admin_port=admin, rpc_port=rpc)


def _free(held: ExitStack, host: str, port: int) -> int:
    listener = held.enter_context(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the serving core does
    try:
        listener.bind((host, port))
        listener.listen()
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutsideError(
            f"the serving core cannot listen on {host}:{port}: {reason}; take another port, or 0 for any"
        ) from error
    return int(listener.getsockname()[1])
