"""How commands end: every failure has one exit code and a message without a traceback."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from inferline.errors import InfeasibleError, InputError, OutsideError

__all__ = ["BAD_INPUT", "INFEASIBLE", "INTERRUPTED", "OUTSIDE_FAILED", "ending_well"]

BAD_INPUT = 2
INFEASIBLE = 3
OUTSIDE_FAILED = 4
INTERRUPTED = 130


def ending_well(command: click.Command) -> NoReturn:
    """Run a command and exit: 0 done, 2 bad input, 3 infeasible, 4 something outside failed, 130 interrupted."""
    try:
        code = command.main(standalone_mode=False)
        sys.stdout.flush()
    except InputError as error:
        count = len(error.faults)
        for fault in error.faults:
            click.echo(f"error: {fault}", err=True)
        if count > 1:
            click.echo(f"{count} faults; nothing was done", err=True)
        sys.exit(BAD_INPUT)
    except InfeasibleError as error:
        click.echo(f"infeasible: {error}", err=True)
        sys.exit(INFEASIBLE)
    except OutsideError as error:
        click.echo(f"failed: {error}", err=True)
        sys.exit(OUTSIDE_FAILED)
    except click.ClickException as error:
        error.show()
        sys.exit(BAD_INPUT)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone (`inferline ... | head`): end quietly, as other tools do.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(code if isinstance(code, int) else 0)
