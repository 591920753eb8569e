"""``python -m serving_adapter.rpc.container``: the process of a model container, `serving_adapter.rpc.runtime`.

The class that the process serves with is found here too, and lives in `serving_adapter.rpc.serving`.
"""

from __future__ import annotations

if __name__ == "__main__":
    # Before anything else is imported: numerical libraries, below and in models, count the cores when they are.
    from serving_adapter.rpc.runtime import main

    main()

from serving_adapter.rpc.serving import BatchTimes, Container, OutputError

__all__ = ["BatchTimes", "Container", "OutputError"]
