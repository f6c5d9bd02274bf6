"""Where downloads and built tools stay between runs."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

_LOCK_POLL_S = 0.1


def cache_folder() -> Path:
    """WHISPERFLEET_CACHE, else `whisperfleet` in the user's cache folder."""
    own = os.environ.get("WHISPERFLEET_CACHE")
    if own:
        return Path(own).expanduser()
    users = os.environ.get("XDG_CACHE_HOME")
    return (Path(users) if users else Path.home() / ".cache") / "whisperfleet"


def models_folder() -> Path:
    return cache_folder() / "models"


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Waits until no other process holds the lock. The file stays: deleting it would let two hold it."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@asynccontextmanager
async def exclusive_lock_async(path: Path) -> AsyncIterator[None]:
    """The same for coroutines; polls, since a thread that waits for a lock cannot be cancelled."""
    with path.open("a") as file:
        while not _try_lock(file.fileno()):  # noqa: ASYNC110  another process frees it, and no event tells
            await asyncio.sleep(_LOCK_POLL_S)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
