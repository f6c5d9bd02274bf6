from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import count

import pytest
from gateway_harness import NatsServer, until

from whisper_contracts import names
from whisper_dispatcher.jetstream import topology
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.pull import Puller, keep_in_progress
from whisper_dispatcher.jetstream.streams import JetStream, connected
from whisper_dispatcher.worker.source import BULK_FIRST_EVERY, WindowSource

ACK_WAIT_S = 3
_numbers = count()


@pytest.fixture
async def model(jetstream: JetStream) -> str:
    """A queue of the test's own."""
    name = f"own{next(_numbers)}"
    await topology.ensure_model(jetstream, name)
    return name


@pytest.fixture
async def puller(jetstream: JetStream, model: str) -> AsyncIterator[Puller]:
    puller = Puller(jetstream, names.WINDOWS_STREAM, names.windows_consumer(model, "interactive"))
    await puller.start()
    yield puller
    await puller.stop()


async def publish(jetstream: JetStream, model: str, index: int, class_: names.Class = "interactive") -> None:
    await jetstream.publish(names.window_subject(model, class_, "c", "j", index), str(index).encode())


async def test_asking_an_empty_queue_takes_no_time(puller: Puller) -> None:
    began = time.monotonic()
    for _ in range(20):
        assert await puller.pull() is None
    assert time.monotonic() - began < 1.0


async def test_what_is_there_comes_at_once_and_an_acked_message_never_again(
    jetstream: JetStream, model: str, puller: Puller
) -> None:
    await publish(jetstream, model, 0)
    delivery = await puller.pull()
    assert delivery
    assert (delivery.data, delivery.deliveries) == (b"0", 1)
    await delivery.ack()
    assert await puller.pull(expires_s=0.2) is None
    assert await jetstream.subjects(names.WINDOWS_STREAM, names.windows_filter(model, "interactive")) == {}


async def test_a_long_poll_ends_when_the_message_comes(jetstream: JetStream, model: str, puller: Puller) -> None:
    began = time.monotonic()
    waiting = asyncio.create_task(puller.pull(expires_s=10))
    await publish(jetstream, model, 0)
    delivery = await waiting
    assert delivery
    assert time.monotonic() - began < 2


async def test_what_comes_while_nobody_waits_is_handed_back(jetstream: JetStream, model: str, puller: Puller) -> None:
    waiting = asyncio.create_task(puller.pull(expires_s=30))
    assert not await _done_soon(waiting)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    other = Puller(jetstream, names.WINDOWS_STREAM, names.windows_consumer(model, "interactive"))
    await other.start()
    await publish(jetstream, model, 0)
    # The cancelled request takes it first, long before its ack wait would end.
    delivery = await other.pull(expires_s=topology.WINDOW_ACK_WAIT_S / 3)
    assert delivery
    assert delivery.deliveries == 2
    await other.stop()


async def test_the_next_caller_joins_the_request_that_is_under_way(
    jetstream: JetStream, model: str, puller: Puller
) -> None:
    waiting = asyncio.create_task(puller.pull(expires_s=30))
    assert not await _done_soon(waiting)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    again = asyncio.create_task(puller.pull(expires_s=30))
    assert not await _done_soon(again)
    await publish(jetstream, model, 0)
    delivery = await again
    assert delivery
    assert delivery.deliveries == 1


@pytest.mark.parametrize("expires_s", [None, 30.0])
async def test_a_consumer_that_does_not_answer_is_not_taken_for_an_empty_queue(
    jetstream: JetStream, expires_s: float | None
) -> None:
    """Who pulls again at once where nothing is did it thousands of times a second."""
    puller = Puller(jetstream, names.WINDOWS_STREAM, "missing")
    await puller.start()
    with pytest.raises(QueueUnavailable):
        await asyncio.wait_for(puller.pull(expires_s=expires_s), 5)
    await puller.stop()


async def test_a_consumer_that_goes_away_ends_the_pull_and_says_why(
    jetstream: JetStream, model: str, puller: Puller
) -> None:
    waiting = asyncio.create_task(puller.pull(expires_s=30))
    assert not await _done_soon(waiting)
    consumer = names.windows_consumer(model, "interactive")
    await jetstream.api(f"CONSUMER.DELETE.{names.WINDOWS_STREAM}.{consumer}")
    with pytest.raises(QueueUnavailable, match="Consumer Deleted"):
        await asyncio.wait_for(waiting, 5)


async def test_cancelled_pulls_lose_nothing(jetstream: JetStream, model: str, puller: Puller) -> None:
    total = 100
    got: list[bytes] = []
    publishing = asyncio.gather(*(publish(jetstream, model, index) for index in range(total)))
    began = time.monotonic()
    patience_s = 0.0
    while len(got) < total:
        assert time.monotonic() - began < topology.WINDOW_ACK_WAIT_S - 3, "a message was stranded until its ack wait"
        pull = asyncio.create_task(puller.pull(expires_s=1.0))
        await asyncio.wait({pull}, timeout=patience_s)
        patience_s = (patience_s + 0.0003) % 0.01
        pull.cancel()
        (outcome,) = await asyncio.gather(pull, return_exceptions=True)
        if not isinstance(outcome, BaseException) and outcome:
            got.append(outcome.data)
            await outcome.ack()
    await publishing
    assert sorted(got, key=int) == [str(index).encode() for index in range(total)]


async def test_what_is_handed_back_with_a_delay_comes_after_it(
    jetstream: JetStream, model: str, puller: Puller
) -> None:
    await publish(jetstream, model, 0)
    delivery = await puller.pull()
    assert delivery
    began = time.monotonic()
    await delivery.hand_back(delay_s=0.5)
    again = await puller.pull(expires_s=5)
    assert again
    assert again.deliveries == 2
    assert time.monotonic() - began >= 0.5


async def test_work_in_progress_goes_to_nobody_else(jetstream: JetStream) -> None:
    model = f"own{next(_numbers)}"
    consumer = topology.work_consumer("brief", names.windows_filter(model, "bulk"), ACK_WAIT_S)
    await jetstream.api(
        f"CONSUMER.DURABLE.CREATE.{names.WINDOWS_STREAM}.brief",
        {"stream_name": names.WINDOWS_STREAM, "config": consumer},
    )
    puller = Puller(jetstream, names.WINDOWS_STREAM, "brief")
    await puller.start()
    await publish(jetstream, model, 0, "bulk")
    delivery = await puller.pull()
    assert delivery
    progress = asyncio.create_task(keep_in_progress(delivery, ACK_WAIT_S / 12))
    assert await puller.pull(expires_s=1.7 * ACK_WAIT_S) is None
    progress.cancel()
    again = await puller.pull(expires_s=3 * ACK_WAIT_S)
    assert again
    assert again.deliveries == 2
    await again.ack()
    await puller.stop()


async def test_a_pull_goes_on_after_nats_was_killed(own_nats: NatsServer) -> None:
    async with connected(own_nats.url, name="test") as jetstream:
        await topology.ensure_model(jetstream, "m")
        puller = Puller(jetstream, names.WINDOWS_STREAM, names.windows_consumer("m", "bulk"))
        await puller.start()
        waiting = asyncio.create_task(puller.pull(expires_s=1.0))
        assert not await _done_soon(waiting)
        own_nats.kill()
        assert await waiting is None
        with pytest.raises(QueueUnavailable):
            await puller.pull()
        own_nats.start()
        await until(lambda: jetstream.is_connected)
        await publish(jetstream, "m", 7, "bulk")
        delivery = await puller.pull(expires_s=5)
        assert delivery
        assert delivery.data == b"7"
        await delivery.ack()


@pytest.fixture
async def source(jetstream: JetStream, model: str) -> AsyncIterator[WindowSource]:
    source = WindowSource(jetstream, model)
    await source.start()
    yield source
    await source.stop()


async def test_interactive_work_comes_first_and_bulk_work_does_not_starve(
    jetstream: JetStream, model: str, source: WindowSource
) -> None:
    for index in range(2 * BULK_FIRST_EVERY):
        await publish(jetstream, model, index, "bulk")
        await publish(jetstream, model, index)
    classes = []
    for _ in range(2 * BULK_FIRST_EVERY):
        delivery = await source.next()
        assert delivery
        classes.append(delivery.subject.split(".")[3])
        await delivery.ack()
    one_turn = ["interactive"] * (BULK_FIRST_EVERY - 1) + ["bulk"]
    assert classes == one_turn * 2


async def test_waiting_for_both_classes_takes_one_message_and_hands_the_other_back(
    jetstream: JetStream, model: str, source: WindowSource
) -> None:
    waiting = asyncio.create_task(_all(source, 2))
    assert not await _done_soon(waiting)
    await asyncio.gather(publish(jetstream, model, 0), publish(jetstream, model, 1, "bulk"))
    assert await waiting == {b"0", b"1"}


async def test_two_messages_in_one_moment_are_both_worked_on_once(
    jetstream: JetStream, model: str, source: WindowSource
) -> None:
    for round_ in range(20):
        waiting = asyncio.create_task(_all(source, 2))
        await asyncio.sleep(0)
        # In one write, so that both answers arrive together.
        for class_ in names.CLASSES:
            await jetstream.publish_core(names.window_subject(model, class_, "c", "j", round_), class_.encode())
        assert await waiting == {b"interactive", b"bulk"}
    assert await source.next() is None


async def test_nothing_is_lost_when_the_wait_is_cancelled(
    jetstream: JetStream, model: str, source: WindowSource
) -> None:
    waiting = asyncio.create_task(source.next())
    assert not await _done_soon(waiting)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.gather(publish(jetstream, model, 0), publish(jetstream, model, 1, "bulk"))
    assert await _all(source, 2) == {b"0", b"1"}


async def _all(source: WindowSource, total: int) -> set[bytes]:
    """Fails when a message is left to its ack wait."""
    got: set[bytes] = set()
    async with asyncio.timeout(topology.WINDOW_ACK_WAIT_S - 5):
        while len(got) < total:
            if delivery := await source.next():
                got.add(delivery.data)
                await delivery.ack()
    return got


async def _done_soon(task: asyncio.Task[object]) -> bool:
    """Whether the task ends by itself; gives its request the time to reach the server."""
    done, _ = await asyncio.wait({task}, timeout=0.1)
    return bool(done)
