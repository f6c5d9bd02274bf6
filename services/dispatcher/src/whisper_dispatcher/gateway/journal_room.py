"""Whether the journal has room for one more upload."""

from __future__ import annotations

import asyncio
from collections import Counter

import structlog

from whisper_contracts import names
from whisper_contracts.messages import MAX_INLINE_AUDIO_BYTES
from whisper_dispatcher.gateway import metrics
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream

log = structlog.get_logger()

UPLOADS_SHARE = 0.8
"""Of the journal's bytes. The rest is for the jobs that it holds already: for their results and their end, and for the
tombstones without which nothing is ever erased. A journal that is quite full stops them all, and stays full."""
LOOK_EVERY_S = 1.0


def has_room(used_bytes: int, unseen: int, max_bytes: int) -> bool:
    """unseen: uploads that may not be in `used_bytes` yet, or only in part. max_bytes: not above 0 = no limit."""
    return max_bytes <= 0 or used_bytes + unseen * MAX_INLINE_AUDIO_BYTES < UPLOADS_SHARE * max_bytes


class JournalRoom:
    def __init__(self, uploading: Counter[str]) -> None:
        """uploading: those under way, by client."""
        self._uploading = uploading
        self._begun = 0
        self._seen = 0
        self._used_bytes = 0
        self._max_bytes = 0

    @property
    def is_left(self) -> bool:
        return has_room(self._used_bytes, self._begun - self._seen, self._max_bytes)

    def begin_upload(self) -> None:
        self._begun += 1

    async def look(self, jetstream: JetStream) -> None:
        # Whatever has not ended before the question may be missing in the answer.
        ended = self._begun - self._uploading.total()
        try:
            info = await jetstream.api(f"STREAM.INFO.{names.JOURNAL_STREAM}")
        except QueueUnavailable:
            return
        if "state" not in info:
            log.warning("the journal's size cannot be read", error=info.get("error"))
            return
        was_left = has_room(self._used_bytes, 0, self._max_bytes)
        self._seen = ended
        self._used_bytes, self._max_bytes = info["state"]["bytes"], info["config"]["max_bytes"]
        self._tell(was_left)

    def _tell(self, was_left: bool) -> None:
        used_share = self._used_bytes / self._max_bytes if self._max_bytes > 0 else 0.0
        metrics.JOURNAL_USED.set(used_share)
        if was_left and used_share >= UPLOADS_SHARE:
            log.warning("the journal is nearly full, uploads are refused", used_bytes=self._used_bytes)
        elif not was_left and used_share < UPLOADS_SHARE:
            log.info("the journal has room again, uploads are taken", used_bytes=self._used_bytes)

    async def run(self, jetstream: JetStream) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look(jetstream)
