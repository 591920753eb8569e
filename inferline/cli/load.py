"""``inferline load``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from inferline.cli.failures import INTERRUPTED
from inferline.cli.load_options import ARRIVALS, CLOSED_CONNECTIONS, Asked, spec_of
from inferline.cli.load_tables import progress_line, summary_lines
from inferline.cli.outputs import FORMAT, Seconds
from inferline.cli.tables import print_tables
from inferline.errors import OutsideError
from inferline.files.limits import MAX_RATE_QPS
from inferline.units import NANO
from serving_adapter.load import (
    CONNECTIONS,
    INPUT_TYPES,
    TIMEOUT_NS,
    Progress,
    run,
    summarise,
    summary_document,
    write_per_query,
)

__all__ = ["command"]


class _Shape(click.ParamType[tuple[int, ...]]):
    """Sizes with commas or x between them."""

    name = "shape"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Read the sizes, or say what would be accepted."""
        sizes = str(value).replace("x", ",").split(",")
        if not all(size.isdecimal() and len(size) < 10 and int(size) > 0 for size in sizes):
            self.fail(f"{value!r} is not a shape; write whole numbers above 0, like 3,224,224", param, ctx)
        return tuple(int(size) for size in sizes)


@click.command()
@click.argument("url")
@click.option("--trace", type=click.Path(path_type=Path), help="Send at the instants of this trace.")
@click.option("--arrivals", type=click.Choice(ARRIVALS), help="Or draw the instants from this process.")
@click.option("--rate", type=click.FloatRange(0, MAX_RATE_QPS, min_open=True), metavar="R", help="Its queries/s.")
@click.option("--duration", "duration_s", type=Seconds(), metavar="D", help="How long it, or a closed loop, lasts.")
@click.option("--cv2", type=float, metavar="C2", help="Variance / mean^2 of gamma gaps; 4 unless said otherwise.")
@click.option(
    "--speed-up",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    metavar="X",
    help="Send X times as fast.",
)
@click.option(
    "--closed", is_flag=True, help="Instead: every connection sends its next query when the reply is there."
)
@click.option("--inputs", type=click.Path(path_type=Path), metavar="FILE.jsonl", help="Inputs, one a line, in turn.")
@click.option(
    "--input-type", type=click.Choice(INPUT_TYPES), help="Their type; doubles if made up, else lines as they are."
)
@click.option("--shape", type=_Shape(), metavar="N,N", help="Make inputs up: so many numbers, letters or bytes.")
@click.option(
    "--distinct",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    metavar="N",
    help="How many different inputs to make up: a server may remember them.",
)
@click.option("--body-key", default="input", show_default=True, metavar="KEY", help="Key of the input in the body.")
@click.option(
    "--check",
    type=click.Path(path_type=Path),
    metavar="FILE.jsonl",
    help="The right output of each input.",
)
@click.option("--processes", type=click.IntRange(1, 256), default=1, show_default=True, metavar="N")
@click.option(
    "--connections",
    type=click.IntRange(1, 65536),
    metavar="N",
    help=f"Most of one process ({CONNECTIONS}); of all in a closed loop ({CLOSED_CONNECTIONS}).",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=Seconds(),
    default=f"{TIMEOUT_NS // NANO}s",
    show_default=True,
    metavar="S",
    help="A query fails so long after its instant.",
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="SEED", help="Of arrivals and inputs.")
@click.option("--slo", "slo_s", type=Seconds(), metavar="S", help="Say how many queries were answered within this.")
@click.option(
    "--lag-bound",
    "lag_bound_s",
    type=Seconds(),
    metavar="S",
    help="The run counts up to this P99 of the send error; default a tenth of the P99 latency, from 2ms to 10ms.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="queries.csv", help="Write every query: .csv or .parquet."
)
@FORMAT
@click.pass_context
def command(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - the fields of Asked
    """Send traffic and measure.

    Queries are posted to URL at the instants of a trace or an arrival process, whether or not the earlier ones have
    been answered; latency counts from those instants.

    \b
    Example:
      inferline load http://127.0.0.1:1337/app/predict --arrivals poisson --rate 200 --duration 30s --shape 8
      inferline load http://127.0.0.1:1337/app/predict --trace trace.csv --inputs inputs.jsonl --slo 300ms
    """
    asked = Asked(**options)
    spec = spec_of(asked)
    result = run(spec, _show if sys.stderr.isatty() else None)
    if sys.stderr.isatty():
        click.echo("\r\x1b[K", nl=False, err=True)
    summary = summarise(result, None if asked.slo_s is None else round(asked.slo_s * NANO))
    if asked.form == "json":
        click.echo(json.dumps(summary_document(result, summary), indent=2))
    else:
        print_tables(summary_lines(result, summary))
    if asked.out is not None:
        write_per_query(asked.out, result.records)
    if result.interrupted:
        click.echo("interrupted: this is what was measured so far", err=True)
        context.exit(INTERRUPTED)
    if summary.why:
        raise OutsideError(f"this run does not count: {summary.why}")


def _show(progress: Progress) -> None:
    # Not Rich: its thread would take the interpreter from the generator while queries are due.
    click.echo(f"\r{progress_line(progress)}\x1b[K", nl=False, err=True)
