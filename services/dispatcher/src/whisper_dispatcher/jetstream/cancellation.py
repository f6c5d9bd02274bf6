"""nats-py waits with asyncio.wait_for, which on Python 3.11 loses a cancellation that comes together with the result."""

from __future__ import annotations

import asyncio


def heed_cancellation() -> None:
    """Raises CancelledError if the task was told to end and still runs. To be called before a loop's next wait."""
    task = asyncio.current_task()
    if task and task.cancelling():
        raise asyncio.CancelledError
