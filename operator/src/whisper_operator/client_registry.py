"""The gateway's bucket of clients, as far as WhisperClients own it."""

from __future__ import annotations

from collections.abc import Set

import structlog
from pydantic import ValidationError

from whisper_contracts import names
from whisper_contracts.messages import ClientRecord
from whisper_dispatcher.jetstream import buckets
from whisper_dispatcher.jetstream.streams import JetStream

log = structlog.get_logger()


class KeyTaken(Exception):
    """Another client has this very key."""


class ClientRegistry:
    def __init__(self, jetstream: JetStream) -> None:
        self._jetstream = jetstream
        self._known: dict[str, ClientRecord] | None = None
        jetstream.on_disconnect(self.forget)

    def forget(self) -> None:
        """The next call reads the bucket again: others write there too."""
        self._known = None

    async def hold(self, hashed: str, record: ClientRecord) -> None:
        """The one key of the record's owner; an earlier one no longer works.

        Raises KeyTaken or QueueUnavailable.
        """
        known = await self._records()
        if known.get(hashed) != record:
            if hashed in known and known[hashed].owner != record.owner:
                raise KeyTaken
            await buckets.put(self._jetstream, names.CLIENTS_BUCKET, hashed, record.encode())
            known[hashed] = record
            log.info("client registered", client=record.client, name=record.name)
        await self._remove([other for other, held in known.items() if held.owner == record.owner and other != hashed])

    async def owners(self) -> set[str]:
        return {record.owner for record in (await self._records()).values() if record.owner}

    async def withdraw(self, owners: Set[str]) -> None:
        """Their keys stop working."""
        known = await self._records()
        await self._remove([hashed for hashed, record in known.items() if record.owner in owners])

    async def _remove(self, hashes: list[str]) -> None:
        known = await self._records()
        for hashed in hashes:
            await buckets.delete(self._jetstream, names.CLIENTS_BUCKET, hashed)
            if gone := known.pop(hashed, None):
                log.info("client's key revoked", client=gone.client, name=gone.name)

    async def _records(self) -> dict[str, ClientRecord]:
        if self._known is None:
            found: dict[str, ClientRecord] = {}
            for hashed, data in (await buckets.entries(self._jetstream, names.CLIENTS_BUCKET)).items():
                try:
                    found[hashed] = ClientRecord.decode(data)
                except ValidationError:
                    continue  # a later version's
            self._known = found
        return self._known
