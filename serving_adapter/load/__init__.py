"""Load: sends traffic to a server over HTTP, open loop or closed, and measures what becomes of every query."""

from __future__ import annotations

from serving_adapter.load.bodies import INPUT_TYPES, as_input, bodies, made_up_inputs, read_lines
from serving_adapter.load.checks import ExpectedOutputs
from serving_adapter.load.document import summary_document
from serving_adapter.load.per_query import check_per_query, write_per_query
from serving_adapter.load.progress import Progress
from serving_adapter.load.records import Outcome, Records
from serving_adapter.load.result import LoadResult
from serving_adapter.load.run import run
from serving_adapter.load.spec import CONNECTIONS, TIMEOUT_NS, ClosedLoop, LoadSpec, parse_target
from serving_adapter.load.summary import Summary, summarise

__all__ = [
    "CONNECTIONS",
    "INPUT_TYPES",
    "TIMEOUT_NS",
    "ClosedLoop",
    "ExpectedOutputs",
    "LoadResult",
    "LoadSpec",
    "Outcome",
    "Progress",
    "Records",
    "Summary",
    "as_input",
    "bodies",
    "check_per_query",
    "made_up_inputs",
    "parse_target",
    "read_lines",
    "run",
    "summarise",
    "summary_document",
    "write_per_query",
]
