"""Runs programs: each with a limit, each failure a sentence with the program's last words."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from .errors import CommandFailed

_KEPT_LINES = 12

Argument = str | Path


def run(
    command: Sequence[Argument],
    *,
    limit_s: float,
    text: str | None = None,
    source: IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """What the program wrote to stdout. `text` or `source` becomes its stdin; `env` is added to ours.

    Raises CommandFailed when it fails, is missing or takes longer than limit_s.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            stdin=source if source is not None else (None if text is not None else subprocess.DEVNULL),
            input=text.encode() if text is not None else None,
            capture_output=True,
            env={**os.environ, **env} if env else None,
            cwd=folder,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"`{shown(words)}` gave no answer within {limit_s:g} s.") from error
    except OSError as error:
        raise CommandFailed(
            f"`{words[0]}` cannot be run: {error.strerror}. Install it or put it on the PATH."
        ) from error
    if done.returncode != 0:
        raise CommandFailed(f"`{shown(words)}` failed ({done.returncode}): {_last_lines(done.stderr or done.stdout)}")
    return done.stdout.decode(errors="replace")


def succeeds(command: Sequence[Argument], *, limit_s: float) -> bool:
    try:
        run(command, limit_s=limit_s)
    except CommandFailed:
        return False
    return True


def shown(words: Sequence[str]) -> str:
    """A command short enough for an error message."""
    line = " ".join(words)
    return line if len(line) <= 200 else f"{line[:200]}…"


def _last_lines(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return "\n".join(lines[-_KEPT_LINES:]) or "it said nothing"
