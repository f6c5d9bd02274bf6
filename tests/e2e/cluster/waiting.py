"""Waits, each with a limit."""

from __future__ import annotations

import time
from collections.abc import Callable

from .errors import ClusterError, CommandFailed


def wait_until(what: str, missing: Callable[[], str | None], *, limit_s: float, every_s: float = 0.1) -> None:
    """Asks `missing` until it answers None; its last sentence goes into the error raised at the limit."""
    deadline = time.monotonic() + limit_s
    while (reason := _answer(missing)) is not None:
        if time.monotonic() >= deadline:
            raise ClusterError(f"{what}: not within {limit_s:g} s. {reason}")
        time.sleep(every_s)


def _answer(missing: Callable[[], str | None]) -> str | None:
    """A question that could not be put, as when the API server stalls, is put again."""
    try:
        return missing()
    except CommandFailed as error:
        return str(error)
