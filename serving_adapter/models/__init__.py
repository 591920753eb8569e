"""What a replica runs: a model, loaded the way an entry under ``models:`` of the pipeline file says."""

from __future__ import annotations

from serving_adapter.models.entry import ModelEntry
from serving_adapter.models.loading import Model, load_model

__all__ = ["Model", "ModelEntry", "load_model"]
