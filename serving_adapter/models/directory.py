"""Model directories as an entry under ``models:``: those of Clipper's deployers, and those of R."""

from __future__ import annotations

from inferline.errors import InputError
from serving_adapter.models import clipper_directory
from serving_adapter.models.entry import ModelEntry
from serving_adapter.models.loading import Model

__all__ = ["load"]


def load(entry: ModelEntry, threads: int) -> Model:
    """Load a model directory; see `serving_adapter.models.load_model`."""
    folder = entry.folder / entry.target
    if not folder.is_dir():
        raise entry.fault("directory", f"no folder {folder}")
    try:
        return clipper_directory.load(folder, threads)
    except ImportError as error:
        raise entry.fault("directory", str(error)) from error
    except InputError as error:
        raise entry.fault("directory", str(error)) from (error.__cause__ or error)
