"""What the workload, the list of profiles and the models must be beyond their structure; runs on the raw document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferline.domain.arrivals import GENERATORS
from inferline.domain.pipeline import MODEL_KINDS
from inferline.errors import UnitError
from inferline.files.faults import DocumentFaults
from inferline.files.limits import MAX_QUERIES
from inferline.files.pipeline_file.generators import accepted_keys, required_keys
from inferline.files.pipeline_file.outline import Outline, as_mapping, as_number
from inferline.files.wording import either, shown, suggestion
from inferline.units import NANO, parse_duration_ns

__all__ = ["check_models", "check_profile_list", "check_workload"]


def check_workload(document: Mapping[str, Any], faults: DocumentFaults) -> None:
    """Check that there is one source of traffic, scaled in at most one way, and that a generator can make it."""
    workload = document.get("workload")
    if not isinstance(workload, Mapping):
        return
    given = [key for key in ("trace", "generate") if workload.get(key) is not None]
    if len(given) == 2:
        faults.add(("workload",), "trace and generate are both given; give one of them")
    elif not given:
        faults.add(("workload",), "neither trace nor generate is given; give one of them")
    if workload.get("peak") is not None and workload.get("scale") is not None:
        faults.add(("workload",), "peak and scale are both given; give one of them")
    if workload.get("cv2") is not None and workload.get("spread") != "gamma":
        faults.add(("workload", "cv2"), "applies to spread: gamma only")
    _check_generate(as_mapping(workload.get("generate")), faults)


def _check_generate(generate: Mapping[str, Any], faults: DocumentFaults) -> None:
    arrivals = generate.get("arrivals")
    if not isinstance(arrivals, str) or arrivals not in GENERATORS:
        return
    path = ("workload", "generate")
    accepted = accepted_keys(arrivals)
    for key in required_keys(arrivals):
        if generate.get(key) is None:
            faults.add((*path, key), f"missing; {arrivals} arrivals need it")
    every = {key for name in GENERATORS for key in accepted_keys(name)}
    for key in generate:
        if key in every - accepted and generate[key] is not None:
            takes = either(sorted(accepted), "and")
            faults.add((*path, key), f"is no parameter of {arrivals} arrivals; they take {takes}")
    rates, stays = generate.get("rates"), generate.get("stays")
    if isinstance(rates, list) and isinstance(stays, list) and len(rates) != len(stays):
        faults.add((*path, "stays"), f"has {len(stays)} entries for {len(rates)} rates; give one stay for each rate")
    _check_size(generate, faults)


def _check_size(generate: Mapping[str, Any], faults: DocumentFaults) -> None:
    """Refuse what would generate more queries than can be planned from, before generating them."""
    listed = generate.get("rates")
    values = [value for key, value in generate.items() if key == "rate" or key.endswith("_rate")]
    values += listed if isinstance(listed, list) else []
    rates = [rate for rate in map(as_number, values) if rate is not None]
    try:
        duration_ns = parse_duration_ns(generate.get("duration"))
    except UnitError:
        return
    if not rates:
        return
    if max(rates) == 0:
        faults.add(("workload", "generate"), "every rate is 0; give one above 0")
    elif max(rates) * duration_ns / NANO > MAX_QUERIES:
        expected = f"{max(rates):g} queries/s for {shown(generate['duration'])}"
        faults.add(("workload", "generate"), f"{expected} exceed {MAX_QUERIES} queries, the most that is accepted")


def check_profile_list(document: Mapping[str, Any], faults: DocumentFaults) -> None:
    """Check that no profile file is named twice."""
    named = document.get("profiles")
    seen: set[str] = set()
    for i, name in enumerate(named if isinstance(named, list) else []):
        if isinstance(name, str):
            if name in seen:
                faults.add(("profiles", i), f"file {shown(name)} is named twice; keep one")
            seen.add(name)


def check_models(outline: Outline, faults: DocumentFaults) -> None:
    """Check that each model is run in exactly one way, and that a stage uses it."""
    used = {stage.model for stage in outline.stages.values() if stage.model is not None}
    # What a misread stage uses is not known, so nothing can be said to be unused.
    all_read = all(stage.model is not None for stage in outline.stages.values())
    all_read = all_read and not faults.within("stages", levels=1)
    for name, raw in as_mapping(outline.document.get("models")).items():
        if not isinstance(raw, Mapping):
            continue
        if all_read and name not in used:
            faults.add(("models", name), f"no stage uses model {shown(name)}{suggestion(name, used)}")
        kinds = [key for key in MODEL_KINDS if raw.get(key) is not None]
        if len(kinds) != 1:
            near = "" if kinds else next(filter(None, (suggestion(key, MODEL_KINDS) for key in raw)), "")
            got = either(kinds, "and")
            faults.add(("models", name), f"give exactly one of {either(MODEL_KINDS)}; {got} given{near}")
