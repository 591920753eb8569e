"""Where the serving core keeps its configuration: in memory, in a SQLite file, or in Redis the way Clipper does."""

from __future__ import annotations

from serving_adapter.state.opening import open_state
from serving_adapter.state.records import Application, ModelVersion, PipelineRecord, ReplicaRecord, Snapshot, State

__all__ = ["Application", "ModelVersion", "PipelineRecord", "ReplicaRecord", "Snapshot", "State", "open_state"]
