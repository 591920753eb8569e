"""Entries of models whose files and modules lie in a folder of their own."""

from __future__ import annotations

import sys

import pytest

from serving_adapter.models import ModelEntry


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """What a test imports from its own folder is forgotten after it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def entry(tmp_path, modules):
    """Return an entry of a model ``m`` of a kind; other keys of the entry are options."""

    def make(kind, target, *, input_type="json", device="auto", **options):
        return ModelEntry(
            name="m",
            kind=kind,
            target=target,
            input_type=input_type,
            device=device,
            folder=tmp_path,
            file="pipeline.yaml",
            options=options,
        )

    return make
