"""How large the inputs may be: far above what planning needs, low enough that no input exhausts the machine."""

from __future__ import annotations

__all__ = [
    "MAX_BATCH_SIZE",
    "MAX_NAME",
    "MAX_PIPELINE_BYTES",
    "MAX_PLAN_BYTES",
    "MAX_PROFILE_BYTES",
    "MAX_PROFILE_ROWS",
    "MAX_QUERIES",
    "MAX_RATE_QPS",
    "MAX_REPLICAS",
    "MAX_SEED",
    "MAX_TRACE_BYTES",
    "MAX_UNITS",
]

MAX_NAME = 100
"""Longest name, in characters."""

MAX_BATCH_SIZE = 100_000
MAX_REPLICAS = 100_000
MAX_UNITS = 1_000_000
MAX_SEED = 2**63 - 1

MAX_RATE_QPS = 10_000_000
"""Most queries in one second."""

MAX_QUERIES = 100_000_000
"""Most queries in a trace that is planned from."""

MAX_PIPELINE_BYTES = 2**20
MAX_PLAN_BYTES = 16 * 2**20
MAX_PROFILE_BYTES = 64 * 2**20
MAX_PROFILE_ROWS = 200_000
MAX_TRACE_BYTES = 2**30
"""Of the file, and again of its decompressed text."""
