"""A process that leaves another one behind: ``python -I -S detach.py PROGRAM [ARGUMENT ...]``.

The program runs in a session of its own, as nobody's child: it outlives the command that wanted it, hears no ctrl-C
in its terminal, and leaves that command no dead process to collect.
"""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Start the program and end."""
    if os.fork() == 0:
        os.setsid()
        os.execv(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
