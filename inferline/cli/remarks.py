"""What verbs say about the profiles that they plan with, on standard error: it is no part of a plan."""

from __future__ import annotations

import sys
from collections.abc import Collection
from datetime import UTC, datetime

import click

from inferline.domain import Pipeline
from inferline.files import Inputs
from inferline.files.profile_file.profiles import Key
from inferline.files.profile_file.provenance import colocation_remark, profile_concerns

__all__ = ["declared", "say_remarks"]


def declared(pipeline: Pipeline) -> frozenset[Key]:
    """Return every (model, hardware) that some configuration of the pipeline uses."""
    return frozenset((stage.model, hardware) for stage in pipeline.stages for hardware in stage.hardware)


def say_remarks(inputs: Inputs, used: Collection[Key]) -> None:
    """Say what a plan made with the profiles of some (model, hardware) rests on, and what speaks against them."""
    remark = colocation_remark(inputs.table, used)
    concerns = profile_concerns(inputs.table, used, datetime.now(UTC))
    for line in [*([remark] if remark else []), *(f"warning: {concern}" for concern in concerns)]:
        # Named each time, and not as err=True: on a terminal the progress line has put itself in its place.
        click.echo(line, file=sys.stderr)
