"""What ``inferline deploy --dry-run`` prints: steps from nothing, or the manifests for Kubernetes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from inferline.cli.deploy_board import step_words
from inferline.cli.deploy_document import VERSION, stage_documents, step_documents
from inferline.cli.deploying import Asked, core_options
from inferline.cli.server_options import address
from inferline.cli.targets import check_options, kubernetes_options
from serving_adapter.deployment import Files, Standing, Wanted, plan_steps, wanted_of
from serving_adapter.deployment.versions import FIRST_VERSION

__all__ = ["dry_run"]


def dry_run(asked: Asked, files: Files, versions: Mapping[str, str]) -> str:
    """Return what would be done if nothing ran yet; nobody is asked what does.

    Raises
    ------
    InputError
        When an option is wrong, or one is missing that manifests need.
    """
    check_options(asked)
    wanted = wanted_of(files, dict.fromkeys(files.stages, FIRST_VERSION) | dict(versions))
    steps = plan_steps(Standing(), wanted.standing, files.stages, files.limits)
    manifests = _manifests(asked, files, wanted) if asked.target == "kubernetes" else None
    if asked.form == "json":
        document = {
            "version": VERSION,
            "pipeline": files.pipeline.name,
            "target": asked.target,
            "dry_run": True,
            "steps": step_documents(steps),
            "stages": stage_documents(files, wanted),
            **({} if manifests is None else {"manifests": manifests}),
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if manifests is not None:
        from serving_adapter.replicas.kubernetes import to_yaml  # noqa: PLC0415 - only when chosen

        return to_yaml(manifests)
    first = "have the target run a serving core" if asked.server is None else f"use the one at {asked.server.host}"
    lines = [first, *map(step_words, steps)]
    return "".join(f"{number}. {line}\n" for number, line in enumerate(lines, start=1))


def _manifests(asked: Asked, files: Files, wanted: Wanted) -> list[dict[str, Any]]:
    from serving_adapter.replicas.kubernetes import manifests, replica_manifests  # noqa: PLC0415 - only when chosen

    options = kubernetes_options(asked)
    sets = wanted.sets.values()
    if asked.server is None:
        return manifests(files.pipeline.name, core_options(asked), sets, options)
    core = address(asked.server, asked.query_port, asked.admin_port, asked.rpc_port)
    return [each for one in sets for each in replica_manifests(one, core, options)]
