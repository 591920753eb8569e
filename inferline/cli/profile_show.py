"""``inferline profile show``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from inferline.cli.outputs import FORMAT, write_text
from inferline.cli.profile_tables import ProfileRow, profile_document, profile_rows, profile_tables
from inferline.cli.tables import print_tables
from inferline.errors import Fault, InputError
from inferline.files import read_profile_table
from inferline.profile_picture import Curve, draw_profiles

__all__ = ["command"]

_SUFFIXES = (".svg", ".png", ".pdf")


@click.command("show")
@click.argument("profiles", type=click.Path(path_type=Path))
@click.option(
    "--picture",
    type=click.Path(path_type=Path),
    metavar="profiles.svg",
    help="Draw latency and throughput against the batch size: .svg, .png or .pdf.",
)
@FORMAT
def command(profiles: Path, picture: Path | None, form: str) -> None:
    """Show a profile file: latency, throughput and how well they are known.

    PROFILES is any file of profiles; what it does not say shows as -. Intervals are those of 95 %. "hop adds" is what
    the way to a model container and back adds to the mean.

    \b
    Example:
      inferline profile show examples/tf-cascade/profiles.csv --picture profiles.svg
    """
    if picture is not None:
        _check_picture(picture)
    rows = profile_rows(read_profile_table(profiles))
    if form == "json":
        document = {"version": 1, "rows": profile_document(rows)}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        print_tables(profile_tables(rows))
    if picture is not None:
        _draw(picture, rows)


def _check_picture(path: Path) -> None:
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(Fault("--picture", "", f"{str(path)!r} ends in none of {', '.join(_SUFFIXES)}"))
    try:
        import matplotlib  # noqa: F401, PLC0415 - optional
    except ImportError as error:
        raise InputError(f"--picture needs {error.name}: pip install 'inferline[report]'") from error


def _draw(path: Path, rows: Sequence[ProfileRow]) -> None:
    drawn = draw_profiles(_curves(rows))
    if path.suffix.lower() == ".svg":
        write_text(path, drawn.svg() + "\n")  # without a date: the same profiles give the same bytes
        return
    try:
        drawn.save(path)
    except OSError as error:
        raise InputError(Fault(str(path), "", f"cannot be written: {error.strerror}")) from error


def _curves(rows: Sequence[ProfileRow]) -> list[Curve]:
    by_profile: dict[tuple[str, str], list[ProfileRow]] = {}
    for row in rows:
        by_profile.setdefault((row.model, row.hardware), []).append(row)
    columns = {
        "mean_s": "latency_mean_s",
        "mean_ci_s": "latency_mean_ci_s",
        "p99_s": "latency_p99_s",
        "p99_low_s": "latency_p99_low_s",
        "p99_high_s": "latency_p99_high_s",
    }
    return [
        Curve(
            model=model,
            hardware=hardware,
            batch_size=np.array([row.batch_size for row in of], dtype=float),
            throughput_qps=np.array([row.throughput_qps for row in of]),
            **{name: np.array([row.number(column) for row in of]) for name, column in columns.items()},
        )
        for (model, hardware), of in by_profile.items()
    ]
