"""The event loop of the long-running processes: uvloop spends about half of asyncio's own time on a message."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def end_process() -> None:
    """As whoever started it would, who then starts it anew: what is under way is let go of first."""
    os.kill(os.getpid(), signal.SIGTERM)


def run(main: Coroutine[Any, Any, Result]) -> Result:
    try:
        new_event_loop = importlib.import_module("uvloop").new_event_loop
    except ImportError:  # there is none for Windows and PyPy
        new_event_loop = None
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)
