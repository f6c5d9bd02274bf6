from __future__ import annotations

import asyncio

import pytest
from gateway_harness import NatsServer, until

from whisper_contracts import names
from whisper_dispatcher.jetstream import buckets
from whisper_dispatcher.jetstream.errors import QueueFull, QueueUnavailable, WrongLastSequence
from whisper_dispatcher.jetstream.streams import JetStream, connected


async def test_of_two_writers_the_first_wins(jetstream: JetStream) -> None:
    subject = names.plan_result_subject("first", "wins")
    outcomes = await asyncio.gather(
        *(jetstream.publish_once(subject, str(n).encode()) for n in range(10)), return_exceptions=True
    )
    won = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, int)]
    assert len(won) == 1
    assert all(isinstance(outcome, WrongLastSequence) for n, outcome in enumerate(outcomes) if n not in won)
    stored = await jetstream.get_last(names.JOURNAL_STREAM, subject)
    assert stored
    assert stored.data == str(won[0]).encode()
    assert stored.sequence == outcomes[won[0]]


async def test_a_state_replaces_only_the_one_it_was_made_from(jetstream: JetStream) -> None:
    subject = names.state_subject("compare", "set")
    first = await jetstream.publish_once(subject, b"first")
    await jetstream.publish_once(subject, b"second", last_sequence=first)
    with pytest.raises(WrongLastSequence):
        await jetstream.publish_once(subject, b"third", last_sequence=first)
    stored = await jetstream.get_last(names.JOURNAL_STREAM, subject)
    assert stored
    assert stored.data == b"second"


@pytest.mark.parametrize(
    ("limit", "fitting"), [({"max_msgs": 2}, 2), ({"max_bytes": 1000}, 1)], ids=["messages", "bytes"]
)
async def test_a_stream_at_its_limit_is_full(jetstream: JetStream, limit: dict[str, int], fitting: int) -> None:
    name = "FULL_" + next(iter(limit))
    created = await jetstream.api(
        f"STREAM.CREATE.{name}",
        {"name": name, "subjects": [f"{name}.>"], "retention": "workqueue", "discard": "new", **limit},
    )
    assert "error" not in created
    for n in range(fitting):
        await jetstream.publish(f"{name}.{n}", bytes(600))
    with pytest.raises(QueueFull):
        await jetstream.publish(f"{name}.more", bytes(600))
    assert await jetstream.purge(name, f"{name}.0") == 1
    await jetstream.publish(f"{name}.more", bytes(600))


async def test_the_same_message_id_is_stored_once(jetstream: JetStream) -> None:
    subject = names.plan_subject("bulk", "c", "same-id")
    sequences = {await jetstream.publish(subject, b"", message_id="same-id.0") for _ in range(3)}
    assert len(sequences) == 1
    assert (await jetstream.subjects(names.PLAN_STREAM, subject)) == {subject: 1}


async def test_nothing_stored_reads_as_none(jetstream: JetStream) -> None:
    assert await jetstream.get_last(names.JOURNAL_STREAM, names.record_subject("c", "nobody")) is None
    assert await jetstream.get_all_last(names.JOURNAL_STREAM, [names.record_subject("c", "nobody")]) == []


async def test_more_results_than_one_request_holds_are_all_read(jetstream: JetStream) -> None:
    subjects = [names.window_result_subject("m", "many", "windows", index) for index in range(1100)]
    for start in range(0, len(subjects), 100):  # all at once they would share one request's limit
        some = subjects[start : start + 100]
        await asyncio.gather(*(jetstream.publish(subject, subject.encode()) for subject in some))
    found = await jetstream.get_all_last(
        names.JOURNAL_STREAM, [*subjects, names.window_result_subject("m", "many", "w", 0)]
    )
    assert {stored.subject for stored in found} == set(subjects)
    assert all(stored.data == stored.subject.encode() for stored in found)
    assert await jetstream.purge(names.JOURNAL_STREAM, names.job_filter("many", "windows")) == 1100


async def test_a_cancel_that_comes_with_the_answer_is_heeded(jetstream: JetStream) -> None:
    async def ask_for_ever() -> None:
        while True:
            await jetstream.get_last(names.JOURNAL_STREAM, names.record_subject("c", "nobody"))

    for n in range(100):
        task = asyncio.create_task(ask_for_ever())
        for _ in range(n % 10):
            await jetstream.get_last(names.JOURNAL_STREAM, names.record_subject("c", "nobody"))
        task.cancel()
        await asyncio.wait({task}, timeout=2)
        assert task.cancelled()


async def test_a_deleted_key_is_gone_and_can_be_put_again(jetstream: JetStream) -> None:
    bucket = names.CLIENTS_BUCKET
    await buckets.put(jetstream, bucket, "key", b"one")
    assert await buckets.get(jetstream, bucket, "key") == b"one"
    await buckets.delete(jetstream, bucket, "key")
    assert await buckets.get(jetstream, bucket, "key") is None
    assert "key" not in await buckets.entries(jetstream, bucket)
    await buckets.put(jetstream, bucket, "key", b"two")
    assert (await buckets.entries(jetstream, bucket))["key"] == b"two"


async def test_without_nats_every_call_says_so_and_with_it_all_is_there(own_nats: NatsServer) -> None:
    subject = names.record_subject("c", "kept")
    async with connected(own_nats.url, name="test") as jetstream:
        await jetstream.publish(subject, b"accepted")
        own_nats.kill()
        for call in (
            jetstream.publish(subject, b"lost"),
            jetstream.get_last(names.JOURNAL_STREAM, subject),
            jetstream.get_all_last(names.JOURNAL_STREAM, [subject]),
            jetstream.purge(names.JOURNAL_STREAM, subject),
            jetstream.subjects(names.PLAN_STREAM, names.PLAN_SUBJECTS),
        ):
            with pytest.raises(QueueUnavailable):
                await call
        own_nats.start()
        await until(lambda: jetstream.is_connected)
        stored = await jetstream.get_last(names.JOURNAL_STREAM, subject)
        assert stored
        assert stored.data == b"accepted"
