"""What ``--confidence`` and ``--sensitivity`` add to plan.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inferline.domain import Pipeline
from inferline.units import NANO
from planner.uncertainty.confidence import Confident
from planner.uncertainty.sensitivity import Outcome, Sensitivity
from planner.uncertainty.world_shares import Share

__all__ = ["Uncertainty", "with_uncertainty"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertainty:
    """What was found out about a plan beyond its trace, as far as it was asked for.

    Parameters
    ----------
    confident
        Evidence of a plan with confidence.
    block_ns
        Length of the blocks that the trace was resampled in.
    constant
        Per stage of the plan, the batch sizes whose service times have no spread; stages without such are left out.
    changes
        The sensitivity table.
    """

    confident: Confident | None = None
    block_ns: int = 0
    constant: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    changes: Sensitivity | None = None


def with_uncertainty(document: str, pipeline: Pipeline, found: Uncertainty) -> str:
    """Return the text of plan.json with the keys ``confidence`` and ``sensitivity``, as far as they are there."""
    added: dict[str, Any] = {}
    if found.confident is not None:
        added["confidence"] = _confidence_document(pipeline, found, found.confident)
    if found.changes is not None:
        added["sensitivity"] = _sensitivity_document(found.changes)
    if not added:
        return document
    return json.dumps({**json.loads(document), **added}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _confidence_document(pipeline: Pipeline, found: Uncertainty, answer: Confident) -> dict[str, Any]:
    return {
        "asked": answer.confidence,
        "planned": {**_share_document(answer.planned), "required": answer.required},
        "checked": [_share_document(each) for each in answer.checked],
        "fresh": _share_document(answer.fresh),
        "without": {
            "cost_usd_per_hour": answer.plain.cost_nano_usd_per_hour(pipeline) / NANO,
            "stages": {
                name: {"hardware": each.hardware, "max_batch": each.max_batch, "replicas": each.replicas}
                for name, each in answer.plain.items()
            },
            "fresh": _share_document(answer.plain_fresh),
        },
        "block_s": found.block_ns / NANO,
        "constant_service_times": {name: list(sizes) for name, sizes in found.constant.items()},
        "time_limit_reached": answer.out_of_time,
    }


def _share_document(found: Share) -> dict[str, Any]:
    return {"met": found.met, "of": found.of, "share": found.value, "interval": list(found.interval())}


def _sensitivity_document(table: Sensitivity) -> dict[str, Any]:
    first = table.first_break()
    return {
        "unchanged": _outcome_document(table.unchanged),
        "changes": {line.name: [_outcome_document(each) for each in line.outcomes] for line in table.lines},
        "first_break": None if first is None else {"what": first[0], **_outcome_document(first[1])},
    }


def _outcome_document(outcome: Outcome) -> dict[str, Any]:
    document = {
        "change": outcome.change / 100,
        "at_slo_percentile_s": outcome.at_slo_ns / NANO,
        "miss_rate": outcome.miss_rate,
        "slo_met": outcome.slo_met,
    }
    return {**document, "note": outcome.note} if outcome.note else document
