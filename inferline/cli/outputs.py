"""Options and outputs that several verbs share."""

from __future__ import annotations

from pathlib import Path

import click

from inferline.errors import Fault, InputError

__all__ = ["FORMAT", "write_text"]

FORMAT = click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="A table for people, or one JSON document on standard output.",
)


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
