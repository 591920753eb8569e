"""The arrays that the compiled functions take, named for readers and declared for Numba.

Every compiled function declares its one signature. Without it Numba would compile a function again for each mix of
read-only and writable arrays that it meets, seconds each; an array declared to be only read may be either.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numpy.typing import NDArray

__all__ = ["IDS", "INSTANTS", "READ_IDS", "READ_INSTANTS", "READ_MASK", "WHOLE", "Ids", "Instants", "Mask"]

Instants = NDArray[np.int64]
"""Nanoseconds from the start of the trace, or lengths of time."""
Ids = NDArray[np.int32]
"""Query ids."""
Mask = NDArray[np.bool_]
"""One flag per query."""

WHOLE = types.int64
INSTANTS = types.Array(types.int64, 1, "C")
IDS = types.Array(types.int32, 1, "C")
READ_INSTANTS = types.Array(types.int64, 1, "C", readonly=True)
READ_IDS = types.Array(types.int32, 1, "C", readonly=True)
READ_MASK = types.Array(types.boolean, 1, "C", readonly=True)
