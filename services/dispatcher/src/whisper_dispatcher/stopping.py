"""Waiting that ends when the process is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def unless_stopped(stopping: asyncio.Event, waiting: Coroutine[Any, Any, T]) -> T | None:
    """What it waits for, or None as soon as the process is to stop."""
    waited = asyncio.create_task(waiting)
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({waited, stop}, return_when=asyncio.FIRST_COMPLETED)
        return waited.result() if waited.done() else None
    finally:
        for task in (waited, stop):
            task.cancel()
        await asyncio.gather(waited, stop, return_exceptions=True)
