"""What `/delete` erases: a record only after the job, with audio and text, that it names."""

from __future__ import annotations

from whisper_bot.gateway_client import GatewayClient
from whisper_bot.records import Note
from whisper_bot.store import Kept, Store


class Erasing:
    """Raises QueueUnavailable, GatewayAway and KeyRefused; done again, it goes on."""

    def __init__(self, store: Store, gateway: GatewayClient) -> None:
        self._store = store
        self._gateway = gateway

    async def recording(self, chat: int, message_id: int) -> bool:
        """message_id: its own, or of an answer to it. False: no record names that message."""
        notes = await self._store.notes_of(chat)
        recordings = {kept.record.message_id for kept in notes if message_id in kept.record.message_ids}
        await self._forget([kept for kept in notes if kept.record.message_id in recordings])
        return bool(recordings)

    async def chat(self, chat: int, before: int) -> None:
        """before: the command's own message; delivered again, it erases nothing that was sent since."""
        notes = await self._store.notes_of(chat)
        await self._forget([kept for kept in notes if kept.record.message_id < before])
        await self._store.forget_chat_settings(chat)

    async def _forget(self, notes: list[Kept[Note]]) -> None:
        for kept in notes:
            if kept.record.job:
                await self._gateway.erase(kept.record.job)
        changed = [await self._store.forget_note(kept) for kept in notes]
        if left := [kept for kept in changed if kept]:
            await self._forget(left)
