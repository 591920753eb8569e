"""What ``inferline deploy`` prints for people."""

from __future__ import annotations

import json
import shlex

from rich.table import Table

from inferline.cli.deploying import Asked, Done
from inferline.cli.server_options import Reached
from inferline.cli.targets import target_words
from inferline.units import format_usd
from serving_adapter.deployment import Files

__all__ = ["deployed_parts", "try_line"]

_EXAMPLES = {"integers": [1, 2], "floats": [1.0, 2.0], "doubles": [1.0, 2.0], "bytes": "AAEC"}


def deployed_parts(asked: Asked, files: Files, done: Done) -> list[Table | str]:
    """Return what runs, whether anything had to be done for it, and where queries go."""
    name = files.pipeline.name
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("stage", "version", "hardware"):
        table.add_column(column, overflow="fold")
    for column in ("replicas", "max batch"):
        table.add_column(column, justify="right")
    for stage, chosen in files.configuration.items():
        version = done.wanted.standing.versions[stage]
        table.add_row(stage, version, chosen.hardware, str(chosen.replicas), str(chosen.max_batch))
    cost = format_usd(files.configuration.cost_nano_usd_per_hour(files.pipeline))
    verdict = f"{name} runs at target {asked.target}, {cost}/h"
    if not done.steps:
        verdict = f"nothing changed: {verdict}"
    lines = [
        verdict,
        f"queries  {done.reached.predict_url(name)}",
        f"try      {try_line(files, done.reached)}",
        f"status   {_status(asked, name, done.reached)}",
        *(f"remark   {remark}" for remark in done.remarks),
    ]
    return [table, "\n".join(lines)]


def try_line(files: Files, at: Reached) -> str:
    """Return a line for a shell that sends one query: the first sample of the first entry, where there is one."""
    url = shlex.quote(at.predict_url(files.pipeline.name))
    stage = next(stage.name for stage in files.pipeline.stages if stage.is_entry)
    entry = files.entry(stage)
    if entry.sample is not None and entry.sample.is_file():
        body = """sed 's/.*/{"input": &}/'"""
        return f"head -n 1 {shlex.quote(str(entry.sample))} | {body} | curl -s {url} -d @-"
    given = json.dumps({"input": _EXAMPLES.get(entry.input_type, "text")})
    return f"curl -s {url} -d {shlex.quote(given)}"


def _status(asked: Asked, name: str, at: Reached) -> str:
    words = ["inferline", "status", name, *target_words(asked)]
    told = asked.server is not None or asked.reach is not None or at.scheme == "https"
    if told and not at.is_usual:  # else the target knows
        words += ["--server", at.admin_url if at.scheme == "https" else f"{at.host}:{at.admin_port}"]
        words += ["--query-port", str(at.query_port)]
    return shlex.join(words)
