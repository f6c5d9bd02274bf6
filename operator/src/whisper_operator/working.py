"""Works off a queue of objects: what fails is tried again, later each time."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import structlog

from whisper_dispatcher.jetstream.cancellation import heed_cancellation
from whisper_operator.cluster import ApiError, Unreachable
from whisper_operator.resources import ObjectKey
from whisper_operator.work_queue import KeyedQueue

log = structlog.get_logger()

Reconcile = Callable[[ObjectKey], Awaitable[float | None]]
"""Returns after how many seconds to look again, where no event will tell."""


class NotAsWanted(Exception):
    """Told in the status already; worth another try later."""


class Workers:
    def __init__(self, kind: str, queue: KeyedQueue[ObjectKey], reconcile: Reconcile) -> None:
        self.worked_at = time.monotonic()
        self._kind = kind
        self._queue = queue
        self._reconcile = reconcile

    async def run(self) -> None:
        """One of them, until cancelled."""
        while True:
            heed_cancellation()
            key = await self._queue.get()
            try:
                await self._try(key)
            finally:
                self._queue.done(key)
                self.worked_at = time.monotonic()

    async def _try(self, key: ObjectKey) -> None:
        about = {"kind": self._kind, "namespace": key[0], "name": key[1]}
        try:
            again_s = await self._reconcile(key)
        except (NotAsWanted, ApiError, Unreachable) as error:
            delay_s = self._queue.retry(key)
            log.warning("not as wanted", **about, error=str(error), retry_s=round(delay_s, 1))
        except Exception:
            # One object must not stop the others; it is tried again, and the trace says what to mend.
            delay_s = self._queue.retry(key)
            log.exception("reconcile failed", **about, retry_s=round(delay_s, 1))
        else:
            self._queue.forget_failures(key)
            if again_s is not None:
                self._queue.add_after(key, again_s)
