"""Who may call and which models there are: the two key-value buckets, held in memory."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass, field

from pydantic import ValidationError

from whisper_contracts.messages import ClientRecord, ModelRecord
from whisper_dispatcher.jetstream import buckets
from whisper_dispatcher.jetstream.streams import Stored
from whisper_dispatcher.jobs.clients import key_hash


@dataclass(slots=True)
class Clients:
    _by_hash: dict[str, tuple[str, ClientRecord]] = field(default_factory=dict)
    _revocations: dict[str, asyncio.Event] = field(default_factory=dict)
    """By client, of those whose streams are open or have been."""

    def apply(self, stored: Stored) -> None:
        """A marker of deletion, or a record nobody can read, takes the key away."""
        key = buckets.key_of(stored.subject)
        try:
            if not buckets.is_deleted(stored):
                self._by_hash[key] = key, ClientRecord.decode(stored.data)
                return
        except ValidationError:
            pass
        _, record = self._by_hash.pop(key, ("", None))
        if record and (revoked := self._revocations.pop(record.client, None)):
            revoked.set()

    def revocation(self, client: str) -> asyncio.Event:
        """Set when the client's key is good no longer, now or later."""
        if any(record.client == client for _, record in self._by_hash.values()):
            return self._revocations.setdefault(client, asyncio.Event())
        revoked = asyncio.Event()
        revoked.set()
        return revoked

    def find(self, key: str) -> ClientRecord | None:
        wanted = key_hash(key)
        known, record = self._by_hash.get(wanted, ("", None))
        return record if hmac.compare_digest(known, wanted) else None


@dataclass(slots=True)
class Models:
    default_aliases: tuple[str, ...] = ()
    _by_key: dict[str, ModelRecord] = field(default_factory=dict)

    def apply(self, stored: Stored) -> None:
        key = buckets.key_of(stored.subject)
        if buckets.is_deleted(stored):
            self._by_key.pop(key, None)
        else:
            self._by_key[key] = ModelRecord.decode(stored.data)

    def all(self) -> list[ModelRecord]:
        return sorted(self._by_key.values(), key=lambda model: model.name)

    @property
    def default(self) -> ModelRecord | None:
        """The one marked so, else the oldest."""
        return min(self._by_key.values(), key=lambda m: (not m.default, m.created_at, m.name), default=None)

    def resolve(self, name: str) -> ModelRecord | None:
        """By its name, one of its aliases, or a name for the default; "" is the default."""
        for model in self._by_key.values():
            if name == model.name or name in model.aliases:
                return model
        return self.default if not name or name in self.default_aliases else None
