"""nats-py waits with asyncio.wait_for, which on Python 3.11 loses a cancellation that comes together with the result."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


def heed_cancellation() -> None:
    """Raises CancelledError if the task was told to end and still runs. To be called before a loop's next wait."""
    task = asyncio.current_task()
    if task and task.cancelling():
        raise asyncio.CancelledError


async def heeding_cancel(awaitable: Awaitable[T]) -> T:
    """What it comes to. Raises CancelledError if the task was told to end meanwhile."""
    task = asyncio.current_task()
    assert task
    before = task.cancelling()
    answer = await awaitable
    if task.cancelling() > before:
        raise asyncio.CancelledError
    return answer
