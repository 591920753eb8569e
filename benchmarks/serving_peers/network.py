"""A network of its own for the benchmark: nothing in it can be reached from outside, or reach anything there.

Ray opens ports on every address of the machine, whatever it is told; and all systems want fixed ports.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import sys
from collections.abc import Sequence

from inferline.errors import OutsideError

__all__ = ["confine", "raise_loopback"]

_SIOCSIFFLAGS = 0x8914
_UP_AND_RUNNING = 0x41


def confine(module: str, arguments: Sequence[str]) -> None:
    """Run a module anew in a network namespace (network_namespaces(7)) of its own, in the place of this process.

    Raises
    ------
    OutsideError
        When util-linux is not there.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        raise OutsideError("there is no unshare (util-linux), which confines the network: use --open-network")
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    os.execv(unshare, [unshare, *as_root, "--net", sys.executable, "-m", module, *arguments])


def raise_loopback() -> None:
    """Switch on the loopback interface of a new network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _UP_AND_RUNNING))
