"""InferLine: plan and scale multi-stage inference pipelines.

Users import this package and nothing else; its names are handed on lazily (PEP 562), so that importing it costs
nothing until a name is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["Study", "__version__", "load", "plot_compare"]

_HOME = {"Study": "inferline.whatif", "load": "inferline.whatif", "plot_compare": "inferline.whatif"}

if TYPE_CHECKING:
    from inferline.whatif import Study, load, plot_compare


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the public name is
    if name not in _HOME:
        raise AttributeError(f"module 'inferline' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
