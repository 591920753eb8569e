"""Progress of ``inferline deploy``: a table on a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from serving_adapter.deployment import Step
from serving_adapter.deployment.steps import DELETE, DRAIN, REGISTER
from serving_adapter.replicas import SetKey

__all__ = ["Board", "set_words", "step_words", "watching"]


class Board:
    """What is shown on standard error while a plan is deployed.

    Parameters
    ----------
    console
        Of standard error.

    Attributes
    ----------
    begun, ended
        The steps that have begun, and those that are done.
    """

    def __init__(self, console: Console) -> None:
        self.begun: list[Step] = []
        self.ended: list[Step] = []
        self._console = console
        self._spinner = Spinner("dots", text="")
        self._wanted: Mapping[SetKey, int] = {}
        self._ready: dict[SetKey, int] = {}

    def say(self, line: str) -> None:
        """Print a line that stays."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def tell(self, line: str) -> None:
        """Say what is going on; shows on a terminal only."""
        self._spinner.update(text=Text(line))

    def expect(self, wanted: Mapping[SetKey, int]) -> None:
        """Say how many replicas there are to be of each set."""
        self._wanted = wanted

    def began(self, step: Step) -> None:
        """Hear that a step has begun."""
        self.begun.append(step)
        self.say(step_words(step))
        self.tell(step_words(step))

    def ready(self, key: SetKey, count: int) -> None:
        """Hear how many replicas of a set can serve."""
        if self._ready.get(key, 0) != count and not self._console.is_terminal:
            self.say(f"{set_words(key)}: {count} of {self._wanted.get(key, count)} can serve")
        self._ready[key] = count

    def done(self, step: Step) -> None:
        """Hear that a step is done."""
        self.ended.append(step)

    def __rich__(self) -> Group:
        """Return what a terminal shows: a table of the sets, and below it what is going on."""
        return Group(self._table(), self._spinner) if self._wanted else Group(self._spinner)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in ("stage", "version", "hardware"):
            table.add_column(name, no_wrap=True)
        for name in ("replicas", "can serve"):
            table.add_column(name, justify="right", no_wrap=True)
        for key, wanted in self._wanted.items():
            ready = self._ready.get(key, 0)
            table.add_row(*key, str(wanted), str(ready), style="green" if ready >= wanted else "")
        return table


def set_words(key: SetKey) -> str:
    """Return what a set is called in a sentence."""
    return f"{key.stage} {key.version} on {key.hardware}"


def step_words(step: Step) -> str:
    """Say what a step does, in one line.

    Examples
    --------
    >>> step_words(Step(kind="start", key=SetKey("rank", "1", "cpu-1"), before=1, after=3))
    'start rank 1 on cpu-1: 1 -> 3 replicas'
    """
    named = ", ".join(f"{stage} {version}" for stage, version in step.versions)
    if step.kind == REGISTER:
        return "register the pipeline and its plan"
    if step.kind == DRAIN:
        return "wait until the queries are through that came before the switch"
    if step.kind == DELETE:
        return f"delete the versions that serve no more: {named}"
    if step.key is None:
        forced = " (a hardware limit leaves no room to wait)" if step.forced else ""
        return f"switch to the plan{f', and to {named}' if named else ''}{forced}"
    replicas = f"{step.before} -> {step.after} replicas"
    forced = ", before others are there: a hardware limit leaves no room" if step.forced else ""
    return f"{step.kind} {set_words(step.key)}: {replicas}{forced}"


@contextmanager
def watching() -> Iterator[Board]:
    """Show a board on standard error while the block runs."""
    console = Console(stderr=True)
    board = Board(console)
    if not console.is_terminal:
        yield board
        return
    with Live(board, console=console, refresh_per_second=4, transient=True):
        yield board
