"""The gateway's bucket of clients, on a real nats-server."""

import pytest
from whisper_client_objects import client, live

from whisper_dispatcher.jobs.clients import list_clients, new_key, register_key
from whisper_operator.client_key import client_record, record_owner, rotation_patch
from whisper_operator.client_registry import ClientRegistry, KeyTaken


async def test_a_rotated_key_takes_the_place_of_the_old_one(jetstream):
    registry, secret = ClientRegistry(jetstream), live(client())
    old, record = client_record(client(), secret)
    await registry.hold(old, record)
    assert await list_clients(jetstream) == {old: record}

    rotated = client({"rotation": 1})
    new, record = client_record(rotated, secret | {"data": secret["data"] | rotation_patch(rotated, secret)["data"]})
    await registry.hold(new, record)
    assert await list_clients(jetstream) == {new: record}


async def test_clients_made_by_hand_and_those_of_others_stay_when_one_is_withdrawn(jetstream):
    registry = ClientRegistry(jetstream)
    by_hand = await register_key(jetstream, new_key(), "by hand")
    other, gone = client(uid="c-2", name="other"), client()
    for each in (other, gone):
        await registry.hold(*client_record(each, live(each)))
    registry.forget()
    assert await registry.owners() == {record_owner("speech", uid) for uid in ("c-1", "c-2")}
    await registry.withdraw({record_owner("speech", "c-1")})
    assert {record.name for record in (await list_clients(jetstream)).values()} == {by_hand.name, "speech/other"}


async def test_nobody_takes_over_a_client_by_writing_its_key_into_an_own_secret(jetstream):
    key = new_key()
    await register_key(jetstream, key, "by hand")
    before = await list_clients(jetstream)
    (hashed,) = before
    _, record = client_record(client(), live(client()))
    with pytest.raises(KeyTaken):
        await ClientRegistry(jetstream).hold(hashed, record)
    assert await list_clients(jetstream) == before


async def test_holding_what_is_held_already_writes_nothing(jetstream):
    registry = ClientRegistry(jetstream)
    hashed, record = client_record(client(), live(client()))
    await registry.hold(hashed, record)
    written = (await jetstream.api("STREAM.INFO.KV_clients"))["state"]["last_seq"]
    registry.forget()
    await registry.hold(hashed, record)
    assert (await jetstream.api("STREAM.INFO.KV_clients"))["state"]["last_seq"] == written


async def test_a_record_that_was_revoked_by_hand_comes_back_after_the_bucket_is_read_again(jetstream):
    registry = ClientRegistry(jetstream)
    hashed, record = client_record(client(), live(client()))
    await registry.hold(hashed, record)
    await ClientRegistry(jetstream).withdraw({record.owner})
    registry.forget()
    await registry.hold(hashed, record)
    assert await list_clients(jetstream) == {hashed: record}
