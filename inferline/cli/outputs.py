"""Options and outputs that several verbs share."""

from __future__ import annotations

from pathlib import Path

import click

from inferline.errors import Fault, InputError, UnitError
from inferline.units import NANO, parse_duration_ns

__all__ = ["FORMAT", "Seconds", "write_text"]

FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="A table for people, or one JSON document on standard output.",
)


class Seconds(click.ParamType[float]):
    """A duration option: a number of seconds, or a number with a unit; handed on in seconds."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the duration, or say what would be accepted."""
        try:
            return parse_duration_ns(value) / NANO
        except UnitError as error:
            self.fail(str(error), param, ctx)


def write_text(path: Path, text: str) -> None:
    """Write a file whole: it never stands half written under its name.

    Raises
    ------
    InputError
        When it cannot be written there.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise InputError(Fault(str(path), "", f"cannot be written: {error.strerror}")) from error
