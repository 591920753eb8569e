"""Run the load generator."""

from __future__ import annotations

import socket

from inferline.errors import Fault, InputError, OutsideError
from inferline.files.wording import shown
from serving_adapter.load.progress import Observe
from serving_adapter.load.result import LoadResult, result_of
from serving_adapter.load.share import split
from serving_adapter.load.spec import LoadSpec, Target, parse_target

__all__ = ["run"]

_REACH_S = 5.0


def run(spec: LoadSpec, observe: Observe | None = None) -> LoadResult:
    """Send traffic and measure what becomes of it.

    It takes as long as the traffic lasts, and at most the timeout longer. On the main thread, ctrl-C ends the sending
    and replies are waited for one second more; a second one ends it at once. What was measured is returned.

    Parameters
    ----------
    spec
        What to send.
    observe
        Told twice a second how it goes. With one process it is called between queries, and ought to be quick.

    Raises
    ------
    InputError
        When the URL is not one that can be posted to, or httptools is missing.
    OutsideError
        When nothing accepts connections there.
    RuntimeError
        When called where an event loop is running: use `asyncio.to_thread` there.
    Exception
        Whatever ``spec.check`` raises.
    """
    target = parse_target(spec.url)
    # Needs httptools, which not everybody has: not before somebody runs.
    from serving_adapter.load.processes import measure_apart, measure_here  # noqa: PLC0415

    shares = split(spec, target, _reached(target))
    parts = [measure_here(shares[0], observe)] if len(shares) == 1 else measure_apart(shares, observe)
    return result_of(spec, parts)


def _reached(target: Target) -> tuple[str, int]:
    """Return the address at which the server accepts a connection: a name may stand for several."""
    try:
        with socket.create_connection((target.host, target.port), timeout=_REACH_S) as probe:
            address, port = probe.getpeername()[:2]
            return address, port
    except UnicodeError as error:
        raise InputError(Fault("URL", shown(target.host), "is no name of a host")) from error
    except OSError as error:
        raise OutsideError(
            f"{target.authority} accepts no connection ({error.strerror or error}); "
            "check host and port, and that the server runs there (`inferline serve` starts one)"
        ) from error
