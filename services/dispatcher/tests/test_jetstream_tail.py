from __future__ import annotations

import asyncio
from contextlib import suppress

from gateway_harness import NatsServer, until

from whisper_contracts import names
from whisper_dispatcher.jetstream.errors import QueueUnavailable, WrongLastSequence
from whisper_dispatcher.jetstream.streams import JetStream, Stored, connected
from whisper_dispatcher.jetstream.tail import Tail


async def test_the_last_of_every_subject_is_read_and_then_what_comes(jetstream: JetStream) -> None:
    heard: list[bytes] = []
    state = names.state_subject("tail", "a")
    for body in (b"old", b"older", b"last"):
        await jetstream.publish(state, body)
    await jetstream.publish(names.state_subject("tail", "b"), b"other job")
    tail = Tail(
        jetstream, names.JOURNAL_STREAM, [names.job_filter("tail", "*")], lambda stored: heard.append(stored.data)
    )
    await tail.start()
    assert heard == [b"last", b"other job"]
    assert tail.is_current
    for n in range(5):
        await jetstream.publish(state, b"%d" % n)
    await jetstream.publish(names.state_subject("stranger", "c"), b"of another client")
    await until(lambda: len(heard) == 7)
    assert heard[2:] == [b"0", b"1", b"2", b"3", b"4"]
    await tail.stop()


async def test_an_empty_stream_is_caught_up_at_once(jetstream: JetStream) -> None:
    tail = Tail(jetstream, names.JOURNAL_STREAM, [names.job_filter("nobody", "*")], lambda stored: None)
    async with asyncio.timeout(2):
        await tail.start()
    assert tail.is_current
    await tail.stop()


async def test_a_purge_during_the_reading_does_not_stop_it(jetstream: JetStream) -> None:
    """Whatever was purged is never delivered, so the last message delivered need not say that none is left."""
    subjects = [names.window_result_subject("m", "purged", "j", n) for n in range(2000)]
    for start in range(0, len(subjects), 100):  # all at once they would wait for each other's fsync too long
        await asyncio.gather(*(jetstream.publish(subject, bytes(2000)) for subject in subjects[start : start + 100]))
    purging: list[asyncio.Task[int]] = []

    def purge_at_once(_: Stored) -> None:
        if not purging:
            purge = jetstream.purge(names.JOURNAL_STREAM, names.job_filter("purged", "j"))
            purging.append(asyncio.get_running_loop().create_task(purge))

    tail = Tail(jetstream, names.JOURNAL_STREAM, [names.job_filter("purged", "*")], purge_at_once)
    async with asyncio.timeout(10):
        await tail.start()
    assert await purging[0] == 2000
    await tail.stop()


async def test_kills_of_nats_leave_no_gap_and_nothing_doubled(own_nats: NatsServer) -> None:
    heard: list[int] = []
    acknowledged: list[int] = []
    writing = True

    async def write(jetstream: JetStream) -> None:
        number = 0
        while writing:
            subject = names.window_result_subject("m", "c", "j", number)
            # Again after a cut: the write whose answer was lost may be stored.
            with suppress(QueueUnavailable, WrongLastSequence):
                acknowledged.append(await jetstream.publish_once(subject, b""))
                number += 1
                continue
            if await _is_stored(jetstream, subject):
                number += 1
            await asyncio.sleep(0.05)

    async with connected(own_nats.url, name="reader") as reader, connected(own_nats.url, name="writer") as writer:
        tail = Tail(reader, names.JOURNAL_STREAM, [names.JOB_SUBJECTS], lambda stored: heard.append(stored.sequence))
        await tail.start()
        task = asyncio.create_task(write(writer))
        for _ in range(3):
            heard_before = len(heard)
            await until(lambda before=heard_before: len(heard) > before + 50)  # type: ignore[misc]
            own_nats.kill()
            await until(lambda: not tail.is_current)
            own_nats.start()
            await until(lambda: tail.is_current)
        writing = False
        await task
        await until(lambda: bool(acknowledged) and heard[-1] >= acknowledged[-1])
        info = await reader.api(f"STREAM.INFO.{names.JOURNAL_STREAM}")
        assert heard == list(range(1, info["state"]["last_seq"] + 1))
        assert set(acknowledged) <= set(heard)
        await tail.stop()


async def _is_stored(jetstream: JetStream, subject: str) -> bool:
    with suppress(QueueUnavailable):
        return await jetstream.get_last(names.JOURNAL_STREAM, subject) is not None
    return False


async def test_a_reader_is_not_current_while_nats_is_away(own_nats: NatsServer) -> None:
    async with connected(own_nats.url, name="reader") as reader:
        tail = Tail(reader, names.JOURNAL_STREAM, [names.JOB_SUBJECTS], lambda stored: None)
        await tail.start()
        own_nats.kill()
        await until(lambda: not tail.is_current)
        own_nats.start()
        await until(lambda: tail.is_current)
        await tail.stop()
