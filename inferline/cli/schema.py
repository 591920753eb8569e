"""``inferline schema``."""

from __future__ import annotations

import json

import click

from inferline.files import schema

__all__ = ["command"]


@click.command()
def command() -> None:
    """Print the JSON Schema of pipeline.yaml, for editors.

    \b
    Example:
      inferline schema > pipeline.schema.json
      # first line of pipeline.yaml, for editors that speak the YAML language server:
      # yaml-language-server: $schema=pipeline.schema.json
    """
    click.echo(json.dumps(schema(), indent=2))
