from __future__ import annotations

import asyncio
import hashlib

import pytest

from whisper_contracts import names
from whisper_contracts.messages import ClientRecord
from whisper_dispatcher.jetstream import buckets
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jobs.clients import (
    AmbiguousClient,
    NoSuchClient,
    Quotas,
    find_client,
    list_clients,
    new_key,
    register_key,
    revoke_client,
)


async def test_the_key_is_stored_as_its_hash_alone(jetstream: JetStream) -> None:
    key = new_key()
    await register_key(jetstream, key, "bot", Quotas(requests_per_minute=60, models=("demo.en",)))
    stored = await buckets.entries(jetstream, names.CLIENTS_BUCKET)
    data = stored[hashlib.sha256(key.encode()).hexdigest()]
    assert key.encode() not in data
    record = ClientRecord.decode(data)
    assert (record.name, record.requests_per_minute, record.models, record.operator) == ("bot", 60, ("demo.en",), False)


async def test_every_client_has_its_own_id_and_webhook_secret(jetstream: JetStream) -> None:
    await register_key(jetstream, new_key(), "one")
    await register_key(jetstream, new_key(), "two")
    records = list((await list_clients(jetstream)).values())
    assert len({record.client for record in records}) == len(records)
    assert len({record.webhook_secret for record in records}) == len(records)
    assert all(len(record.webhook_secret) >= 32 for record in records)


async def test_a_key_registered_again_keeps_its_client(jetstream: JetStream) -> None:
    first = await register_key(jetstream, "wf_same", "up")
    assert await register_key(jetstream, "wf_same", "up") == first


async def test_a_revoked_client_is_gone(jetstream: JetStream) -> None:
    key = new_key()
    await register_key(jetstream, key, "leaver")
    record = await revoke_client(jetstream, "leaver")
    assert await buckets.get(jetstream, names.CLIENTS_BUCKET, hashlib.sha256(key.encode()).hexdigest()) is None
    with pytest.raises(NoSuchClient, match="There is no API client"):
        await revoke_client(jetstream, record.client)


async def test_clients_are_listed_however_many_there_ever_were(jetstream: JetStream) -> None:
    """What was deleted leaves a marker, and a wildcard of a batch get may match 1,024 subjects at most."""
    await register_key(jetstream, new_key(), "last")
    gone = [f"{number:064x}" for number in range(1_100)]
    await asyncio.gather(*(buckets.delete(jetstream, names.CLIENTS_BUCKET, key) for key in gone))
    assert "last" in [record.name for record in (await list_clients(jetstream)).values()]


def test_a_name_that_two_clients_have_needs_an_id() -> None:
    records = {"h1": ClientRecord(client="a", name="bot"), "h2": ClientRecord(client="b", name="bot")}
    with pytest.raises(AmbiguousClient, match="Give the id of one: a, b"):
        find_client(records, "bot")
    assert find_client(records, "b")[0] == "h2"


def test_an_id_goes_before_a_name() -> None:
    records = {"h1": ClientRecord(client="a", name="b"), "h2": ClientRecord(client="b", name="c")}
    assert find_client(records, "b")[0] == "h2"
