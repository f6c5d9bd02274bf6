"""Where a slot's next window comes from: interactive work first, bulk work never starved."""

from __future__ import annotations

import asyncio

from whisper_contracts import names
from whisper_dispatcher.jetstream.pull import Delivery, Puller
from whisper_dispatcher.jetstream.streams import JetStream

LONG_POLL_S = 1.0
BULK_FIRST_EVERY = 8
"""Every eighth turn asks for bulk work first, so that a stream of notes does not starve it."""


def asks_bulk_first(turn: int) -> bool:
    return turn % BULK_FIRST_EVERY == BULK_FIRST_EVERY - 1


class WindowSource:
    """One slot's pulls. `next` may be cancelled: what still arrives is handed back."""

    def __init__(self, jetstream: JetStream, model: str) -> None:
        self._pullers = tuple(
            Puller(jetstream, names.WINDOWS_STREAM, names.windows_consumer(model, class_)) for class_ in names.CLASSES
        )
        self._turn = 0

    async def start(self) -> None:
        for puller in self._pullers:
            await puller.start()

    async def stop(self) -> None:
        for puller in self._pullers:
            await puller.stop()

    async def next(self) -> Delivery | None:
        """A window, or None when none came within a second."""
        order = self._pullers[::-1] if asks_bulk_first(self._turn) else self._pullers
        self._turn += 1
        for puller in order:
            if delivery := await puller.pull():
                return delivery
        return await self._long_poll()

    async def _long_poll(self) -> Delivery | None:
        """Both classes at once; the one that comes second is handed back, which is no attempt."""
        pulls = [asyncio.create_task(puller.pull(expires_s=LONG_POLL_S)) for puller in self._pullers]
        won: asyncio.Task[Delivery | None] | None = None
        try:
            waiting = set(pulls)
            while waiting and not won:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                won = next((pull for pull in pulls if pull in done and pull.result()), None)
            return won.result() if won else None
        finally:
            others = [pull for pull in pulls if pull is not won]
            for pull in others:
                pull.cancel()
            for late in await asyncio.gather(*others, return_exceptions=True):
                if isinstance(late, Delivery):
                    await late.hand_back()
