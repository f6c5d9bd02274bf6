"""A new message and its record belong together: a drain lets both finish."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

PUT_DOWN_S = 8.0


async def completed(work: Coroutine[Any, Any, T]) -> T:
    """As `await work`, but when the caller is cancelled, the work has some more seconds to end."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=PUT_DOWN_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
