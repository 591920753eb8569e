"""Progress on the terminal, and silence elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = ["Tell", "working"]

Tell = Callable[[str], None]


@contextmanager
def working(first: str) -> Iterator[Tell]:
    """Show what is going on, on standard error, while the block runs.

    Parameters
    ----------
    first
        The first line to show.

    Yields
    ------
    Tell
        Call it with the next line. Nothing shows when standard error is no terminal.
    """
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        line = progress.add_task(first, total=None)
        yield lambda text: progress.update(line, description=text)
