"""Which version each stage runs as: another one when its replicas are run in another way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from inferline.errors import Fault, InputError
from inferline.files.documents.fields import name_fault
from inferline.files.wording import listed, shown, suggestion

__all__ = ["FIRST_VERSION", "asked_versions", "versions_of", "way_digest"]

FIRST_VERSION = "1"

_FORBIDDEN = ",:"
"""What the core joins names and versions with."""


def way_digest(pipeline: Mapping[str, Any], stage: str, hardware: str) -> str:
    """Return what tells how replicas of a stage are run from other ways; eight characters.

    Parameters
    ----------
    pipeline
        The document of a pipeline file. What replicas have no use for does not count: the ``sample`` of an entry,
        ``price`` and ``limit`` of hardware.
    stage, hardware
        One of its stages, and what that runs on.
    """
    model = pipeline["stages"][stage]["model"]
    entry = _without(pipeline["models"][model], "sample")
    unit = _without(pipeline["hardware"][hardware], "price", "limit")
    return sha256(json.dumps([model, entry, unit], sort_keys=True).encode()).hexdigest()[:8]


def _without(document: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in keys and value is not None}


def asked_versions(options: Sequence[str], stages: Sequence[str]) -> Mapping[str, str]:
    """Return the version of each stage that is asked for: ``TEXT`` is for all stages, ``STAGE=TEXT`` for one.

    Raises
    ------
    InputError
        With every unknown stage and every text that cannot be a version.

    Examples
    --------
    >>> asked_versions(["2", "rank=2b"], ["detect", "rank"])
    {'detect': '2', 'rank': '2b'}
    """
    faults: list[Fault] = []
    asked: dict[str, str] = {}
    for option in sorted(options, key=lambda option: "=" in option):  # what is said of one stage counts
        stage, equals, text = option.rpartition("=")
        if equals and stage not in stages:
            near = suggestion(stage, stages) or f"; there are {listed(stages)}"
            faults.append(Fault("--version", "", f"no stage {shown(stage)}{near}"))
        elif fault := _fault(text):
            faults.append(Fault("--version", "", fault))
        else:
            asked.update(dict.fromkeys([stage] if equals else stages, text))
    if faults:
        raise InputError(*faults)
    return asked


def _fault(text: str) -> str:
    if any(mark in text for mark in _FORBIDDEN):
        return f"{shown(text)} is no version: it has a ',' or a ':'"
    return name_fault(text)


def versions_of(
    pipeline: Mapping[str, Any],
    hardware: Mapping[str, str],
    registered: Mapping[str, Any] | None,
    running: Mapping[str, str],
    asked: Mapping[str, str],
) -> dict[str, str]:
    """Return the version that each stage is to run as.

    A stage begins as version 1, and keeps its version on whatever hardware while its entry under ``models:`` stays.
    Another entry makes another version: the one that is asked for, else a digest. So does another definition of the
    hardware that it runs on: replicas of one version on hardware of one name are alike.

    Parameters
    ----------
    pipeline, hardware
        The document of the pipeline file, and the hardware that each of its stages is to run on.
    registered
        The document that is registered at the core; None when there is none.
    running
        By stage, the version that visits go to now.
    asked
        By stage, what is asked for.

    Raises
    ------
    InputError
        When a stage that is to be run in another way is asked to keep its version: one name would stand for both.
    """
    versions: dict[str, str] = {}
    faults: list[Fault] = []
    for stage, unit in hardware.items():
        before = running.get(stage)
        if registered is None or before is None:
            versions[stage] = asked.get(stage, FIRST_VERSION)
        elif _is_same(pipeline, registered, stage, unit):
            versions[stage] = asked.get(stage, before)
        else:
            versions[stage] = asked.get(stage, way_digest(pipeline, stage, unit))
            if versions[stage] == before:
                message = f"stage {shown(stage)} runs as version {shown(before)} with another entry under models:"
                message += ", or on other hardware of that name"
                faults.append(Fault("--version", "", f"{message}; give it another version, or none to have one made"))
    if faults:
        raise InputError(*faults)
    return versions


def _is_same(pipeline: Mapping[str, Any], registered: Mapping[str, Any], stage: str, hardware: str) -> bool:
    """Whether replicas of a stage are run as before; hardware that was not declared before is no difference."""
    try:
        before = {**registered, "hardware": {hardware: pipeline["hardware"][hardware], **registered["hardware"]}}
        return way_digest(before, stage, hardware) == way_digest(pipeline, stage, hardware)
    except (KeyError, TypeError):  # registered without entries, by somebody else
        return False
