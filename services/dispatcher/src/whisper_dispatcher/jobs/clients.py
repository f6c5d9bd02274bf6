"""API clients: who may call, with which quotas. The key is given out once and stored only as a hash."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from dataclasses import asdict, dataclass

from whisper_contracts import names
from whisper_contracts.messages import SECRET_PREFIX, ClientRecord
from whisper_dispatcher.jetstream import buckets
from whisper_dispatcher.jetstream.streams import JetStream


@dataclass(frozen=True, slots=True)
class Quotas:
    """None = unlimited, or what the gateway's own settings say."""

    requests_per_minute: int | None = None
    jobs_in_flight: int | None = None
    audio_seconds_per_day: float | None = None
    models: tuple[str, ...] | None = None
    """Canonical names."""
    operator: bool = False


class NoSuchClient(Exception):
    def __init__(self, wanted: str) -> None:
        super().__init__(f"There is no API client {wanted!r}. `whisperfleet clients list` shows those there are.")


class AmbiguousClient(Exception):
    def __init__(self, wanted: str, ids: list[str]) -> None:
        super().__init__(f"{len(ids)} API clients are named {wanted!r}. Give the id of one: {', '.join(ids)}.")


def new_key() -> str:
    return "wf_" + secrets.token_urlsafe(32)


def key_hash(key: str) -> str:
    """The record's key in the bucket."""
    return hashlib.sha256(key.encode()).hexdigest()


async def register_key(jetstream: JetStream, key: str, name: str, quotas: Quotas | None = None) -> ClientRecord:
    """A client for a key made elsewhere. One that is there already keeps its id, and so its jobs."""
    stored = await buckets.get(jetstream, names.CLIENTS_BUCKET, key_hash(key))
    if stored is not None:
        return ClientRecord.decode(stored)
    record = ClientRecord(
        client=secrets.token_hex(6),
        name=name,
        created_at=time.time(),
        webhook_secret=SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode(),
        **asdict(quotas or Quotas()),
    )
    await buckets.put(jetstream, names.CLIENTS_BUCKET, key_hash(key), record.encode())
    return record


async def list_clients(jetstream: JetStream) -> dict[str, ClientRecord]:
    """By the hash of the key, oldest first."""
    found = await buckets.entries(jetstream, names.CLIENTS_BUCKET)
    records = {hashed: ClientRecord.decode(data) for hashed, data in found.items()}
    return dict(sorted(records.items(), key=lambda item: item[1].created_at))


async def revoke_client(jetstream: JetStream, wanted: str) -> ClientRecord:
    """wanted: a client's id, or its name where only one has it. Its jobs stay.

    Raises NoSuchClient or AmbiguousClient.
    """
    hashed, record = find_client(await list_clients(jetstream), wanted)
    await buckets.delete(jetstream, names.CLIENTS_BUCKET, hashed)
    return record


def find_client(records: dict[str, ClientRecord], wanted: str) -> tuple[str, ClientRecord]:
    by_id = [item for item in records.items() if item[1].client == wanted]
    found = by_id or [item for item in records.items() if item[1].name == wanted]
    if not found:
        raise NoSuchClient(wanted)
    if len(found) > 1:
        raise AmbiguousClient(wanted, [record.client for _, record in found])
    return found[0]
