"""Entries, as the pipeline file has them."""

from __future__ import annotations

from pathlib import Path

from serving_adapter.models import ModelEntry


def test_entry_of_a_document():
    raw = {"onnx": "models/a.onnx", "sample": "inputs.jsonl", "shape": [3], "device": None, "callable": None}
    entry = ModelEntry.from_document("a", raw, Path("folder/pipeline.yaml"))
    assert (entry.kind, entry.target, entry.input_type, entry.device) == ("onnx", "models/a.onnx", "json", "auto")
    assert (entry.folder, entry.sample) == (Path("folder"), Path("folder/inputs.jsonl"))
    assert entry.options["shape"] == [3]
    assert str(entry.fault("shape", "is odd")) == "folder/pipeline.yaml: models.a.shape: is odd"
