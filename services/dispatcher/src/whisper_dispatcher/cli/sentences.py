"""What went wrong, as a sentence on stderr and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.table import Column, Table

FAILED = 1
INTERRUPTED = 130


UNCUT_COLUMNS = 200
"""Width of tables that go to a file or a pipe, where nobody wants ids cut short."""


def consoles() -> tuple[Console, Console]:
    """For results, and for everything else."""
    out = Console()
    return (out if out.is_terminal else Console(width=UNCUT_COLUMNS)), Console(stderr=True)


def say(line: str) -> None:
    """A line that is no result."""
    typer.echo(line, err=True)


def listing(*columns: str) -> Table:
    """A table whose first column, an id, is never cut."""
    first, *others = columns
    return Table(Column(first, no_wrap=True, overflow="fold"), *others, box=None)


def failed(sentence: str) -> typer.Exit:
    typer.echo(sentence, err=True)
    return typer.Exit(FAILED)


@contextmanager
def told(*expected: type[Exception]) -> Iterator[None]:
    """Exceptions whose text is a sentence for people end the command with it."""
    try:
        yield
    except expected as error:
        raise failed(str(error)) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
