"""How a deployment stands, or is to stand: numbers and names only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from serving_adapter.replicas import SetKey

__all__ = ["Standing", "digest_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a deployment stands, or is to stand.

    Parameters
    ----------
    replicas
        Replicas of each set that are asked for.
    versions
        By stage, the version that visits go to; empty when the pipeline is not registered at a serving core.
    models
        (stage, version) of every version that is registered.
    digest
        `digest_of` the pipeline file and the plan that are registered; empty for none.
    """

    replicas: Mapping[SetKey, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    models: frozenset[tuple[str, str]] = frozenset()
    digest: str = ""

    def capacity(self, stage: str) -> int:
        """Return the replicas that serve a stage: those of the version that its visits go to, on any hardware."""
        return sum(self.serving(stage).values())

    def serving(self, stage: str) -> Mapping[SetKey, int]:
        """Return the sets that serve a stage."""
        version = self.versions.get(stage)
        return {key: count for key, count in self.of(stage) if key.version == version}

    def of(self, stage: str) -> Iterator[tuple[SetKey, int]]:
        """Yield the sets of a stage, whatever their version."""
        yield from ((key, count) for key, count in self.replicas.items() if key.stage == stage)


def digest_of(pipeline: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    """Return what tells a pipeline file and a plan from others, as they are registered; 16 characters."""
    return sha256(json.dumps([pipeline, plan], sort_keys=True).encode()).hexdigest()[:16]
