"""The JSON documents of ``inferline deploy``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from inferline.cli.deploying import Asked, Done
from serving_adapter.deployment import Files, Step, Wanted
from serving_adapter.deployment.steps import REGISTER, SWITCH

__all__ = ["VERSION", "deployed_document", "stage_documents", "step_documents"]

VERSION = 1


def deployed_document(asked: Asked, files: Files, done: Done) -> dict[str, Any]:
    """Return what runs, and what was done for it."""
    return {
        "version": VERSION,
        "pipeline": files.pipeline.name,
        "target": asked.target,
        "changed": bool(done.steps),
        "steps": step_documents(done.steps),
        "predict_url": done.reached.predict_url(files.pipeline.name),
        "query_url": done.reached.query_url,
        "admin_url": done.reached.admin_url,
        "stages": stage_documents(files, done.wanted),
        "remarks": list(done.remarks),
    }


def stage_documents(files: Files, wanted: Wanted) -> dict[str, Any]:
    """Return what each stage runs with."""
    return {
        stage: {
            "model": files.pipeline.stage(stage).model,
            "version": wanted.standing.versions[stage],
            "hardware": chosen.hardware,
            "max_batch": chosen.max_batch,
            "replicas": chosen.replicas,
        }
        for stage, chosen in files.configuration.items()
    }


def step_documents(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return steps as plain mappings."""
    return [_step(step) for step in steps]


def _step(step: Step) -> dict[str, Any]:
    if step.key is not None:
        replicas = {"from": step.before, "to": step.after}
        return {"kind": step.kind, **step.key._asdict(), "replicas": replicas, "forced": step.forced}
    if step.kind in {REGISTER, SWITCH}:
        return {"kind": step.kind, "versions": dict(step.versions), "forced": step.forced}
    return (
        {"kind": step.kind, "versions": [list(each) for each in step.versions]}
        if step.versions
        else {"kind": step.kind}
    )
