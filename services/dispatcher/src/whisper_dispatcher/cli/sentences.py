"""What went wrong, as a sentence on stderr and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console

FAILED = 1
INTERRUPTED = 130


def consoles() -> tuple[Console, Console]:
    """For results, and for everything else."""
    return Console(), Console(stderr=True)


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
