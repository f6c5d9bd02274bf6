from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from journal_harness import unique

from whisper_contracts import names
from whisper_contracts.failures import FailureReason, JobFailed
from whisper_contracts.messages import Attempt, TranscribeOptions, WindowFailure, WindowResult, WindowTask
from whisper_contracts.pcm import BYTES_PER_SECOND
from whisper_dispatcher.jetstream import topology
from whisper_dispatcher.jetstream.pull import Delivery, Puller
from whisper_dispatcher.jetstream.streams import JetStream, connected
from whisper_dispatcher.jobs import journal, retry
from whisper_dispatcher.worker import source
from whisper_dispatcher.worker.source import WindowSource
from whisper_dispatcher.worker.window_run import WindowRun

SLOTS = 40


class QuickServer:
    """A whisper-server that has heard one word before it is asked."""

    async def inference(self, pcm: bytes, options: object, timeout_s: float) -> bytes:
        segment = {"start": 0.0, "end": 1.0, "text": " hello", "tokens": [], "words": []}
        return json.dumps({"language": "english", "text": " hello", "segments": [segment]}).encode()


class BrokenServer:
    """A whisper-server that answers, and only with errors."""

    async def inference(self, pcm: bytes, options: object, timeout_s: float) -> bytes:
        raise JobFailed(FailureReason.SERVER_ERROR)


class HangingServer:
    """A whisper-server that takes its window and never answers."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def inference(self, pcm: bytes, options: object, timeout_s: float) -> bytes:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError


@dataclass(frozen=True)
class Window:
    """One window in a queue of its own."""

    jetstream: JetStream
    model: str = field(default_factory=lambda: f"m-{unique()}")
    client: str = field(default_factory=unique)
    job: str = field(default_factory=unique)

    async def publish(self, class_: names.Class, index: int = 0) -> None:
        options = TranscribeOptions(model=self.model)
        task = WindowTask(job=self.job, client=self.client, index=index, total=1, start_s=0, end_s=1, options=options)
        await self.jetstream.publish(
            names.window_subject(self.model, class_, self.client, self.job, index),
            bytes(BYTES_PER_SECOND),
            headers={"Whisper-Window": task.encode().decode()},
        )

    def run_of(self, delivery: Delivery) -> WindowRun:
        return WindowRun.of(self.jetstream, delivery, 5.0, random.Random(1))

    async def journal(self) -> dict[str, int]:
        """How often what was written of it."""
        found = await self.jetstream.subjects(names.JOURNAL_STREAM, names.job_filter(self.client, self.job))
        written = {names.parse_job_subject(subject): count for subject, count in found.items()}
        assert {subject.model for subject in written} <= {self.model}
        return {f"{subject.kind}.{subject.window}": count for subject, count in written.items()}

    async def read(self, subject: str) -> bytes:
        stored = await self.jetstream.get_last(names.JOURNAL_STREAM, subject)
        assert stored
        return stored.data


@pytest.fixture
async def window(jetstream: JetStream) -> Window:
    window = Window(jetstream)
    await topology.ensure_model(jetstream, window.model)
    return window


@pytest.fixture
async def puller(window: Window) -> AsyncIterator[Puller]:
    puller = Puller(window.jetstream, names.WINDOWS_STREAM, names.windows_consumer(window.model, "interactive"))
    await puller.start()
    yield puller
    await puller.stop()


async def test_a_window_that_many_slots_have_handed_back_is_heard(
    window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A burst of the other class gives every slot a window; each leaves a pull open that nobody waits at any more."""
    monkeypatch.setattr(source, "LONG_POLL_S", 60.0)
    slots = [WindowSource(window.jetstream, window.model) for _ in range(SLOTS)]
    for slot in slots:
        await slot.start()
    waiting = [asyncio.create_task(slot.next()) for slot in slots]
    await open_pulls(window, "bulk", SLOTS)
    await open_pulls(window, "interactive", SLOTS)
    for index in range(SLOTS):
        await window.publish("interactive", 1 + index)
    assert all(await asyncio.gather(*waiting))
    await window.publish("bulk")
    await open_pulls(window, "bulk", 0)
    delivery = await slots[0].next()
    assert delivery
    assert delivery.deliveries == SLOTS + 1
    await window.run_of(delivery).run(QuickServer(), asyncio.Event())  # type: ignore[arg-type]
    assert await window.journal() == {"window.0": 1, "attempt.0": 1}
    for slot in slots:
        await slot.stop()


async def open_pulls(window: Window, class_: names.Class, wanted: int) -> None:
    consumer = f"CONSUMER.INFO.{names.WINDOWS_STREAM}.{names.windows_consumer(window.model, class_)}"
    async with asyncio.timeout(30):
        while (await window.jetstream.api(consumer))["num_waiting"] != wanted:  # noqa: ASYNC110  the server changes it
            await asyncio.sleep(0.01)


async def test_a_window_that_its_workers_die_of_is_given_up(window: Window, puller: Puller) -> None:
    await window.publish("interactive")
    for _ in range(1 + retry.MAX_DEATHS):
        delivery = await puller.pull(expires_s=5)
        assert delivery
        server = HangingServer()
        dying = asyncio.create_task(window.run_of(delivery).run(server, asyncio.Event()))  # type: ignore[arg-type]
        await asyncio.wait_for(server.asked.wait(), 5)
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        await delivery.hand_back()  # a dead worker's comes again by itself, but after its ack wait
    assert (await window.journal()).keys() == {"attempt.0"}
    delivery = await puller.pull(expires_s=5)
    assert delivery
    await window.run_of(delivery).run(QuickServer(), asyncio.Event())  # type: ignore[arg-type]
    assert (await window.journal()).keys() == {"attempt.0", "failure.0"}
    lost = WindowFailure.decode(await window.read(names.failure_subject(window.model, window.client, window.job, 0)))
    assert (lost.reason, lost.attempts) == (FailureReason.INTERNAL, retry.MAX_DEATHS)
    assert lost.message.endswith("Requeue the job; if it fails again, tell the operator its id.")
    assert await puller.pull(expires_s=0.2) is None


async def test_an_inference_that_has_failed_is_no_death(window: Window, puller: Puller) -> None:
    await window.publish("interactive")
    counted = []
    for _ in range(3):
        delivery = await puller.pull(expires_s=10)
        assert delivery
        await window.run_of(delivery).run(BrokenServer(), asyncio.Event())  # type: ignore[arg-type]
        attempt = Attempt.decode(await window.read(names.attempt_subject(window.model, window.client, window.job, 0)))
        counted.append((attempt.attempts, attempt.reason, attempt.begun))
    assert counted == [(n, FailureReason.SERVER_ERROR, 0) for n in (1, 2, 3)]


async def test_a_window_that_comes_again_after_its_result_was_stored_is_acknowledged_without_work(
    window: Window, puller: Puller
) -> None:
    await window.publish("interactive")
    delivery = await puller.pull(expires_s=5)
    assert delivery
    result = names.window_result_subject(window.model, window.client, window.job, 0)
    await window.jetstream.publish(result, WindowResult(index=0).encode())
    await delivery.hand_back()  # as after a crash between the write and the ack
    delivery = await puller.pull(expires_s=5)
    assert delivery
    server = HangingServer()
    await asyncio.wait_for(window.run_of(delivery).run(server, asyncio.Event()), 5)  # type: ignore[arg-type]
    assert not server.asked.is_set()
    assert await window.journal() == {"window.0": 1}
    assert await puller.pull(expires_s=0.2) is None


async def test_a_window_costs_one_write_to_the_journal(window: Window, puller: Puller) -> None:
    await window.publish("interactive")
    delivery = await puller.pull(expires_s=5)
    assert delivery
    await window.run_of(delivery).run(QuickServer(), asyncio.Event())  # type: ignore[arg-type]
    assert await window.journal() == {"window.0": 1}


async def test_the_server_is_free_for_its_next_window_while_the_result_is_stored(
    window: Window, puller: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await window.publish("interactive")
    delivery = await puller.pull(expires_s=5)
    assert delivery
    may_store, write_once = asyncio.Event(), journal.write_once

    async def write_later(jetstream: JetStream, subject: str, result: WindowResult) -> bool:
        await may_store.wait()
        return await write_once(jetstream, subject, result)

    monkeypatch.setattr(journal, "write_once", write_later)
    run = window.run_of(delivery)
    running = asyncio.create_task(run.run(QuickServer(), asyncio.Event()))  # type: ignore[arg-type]
    await asyncio.wait_for(run.server_is_free.wait(), 5)
    assert not running.done()
    may_store.set()
    await running
    assert await window.journal() == {"window.0": 1}


async def test_a_result_is_left_to_the_queue_when_nats_has_closed_the_connection_for_good(
    nats_url: str, window: Window, puller: Puller
) -> None:
    """A worker whose login ended never ended itself."""
    await window.publish("interactive")
    delivery = await puller.pull(expires_s=5)
    assert delivery
    async with connected(nats_url, name="worker") as worker:
        run = replace(window, jetstream=worker).run_of(delivery)
        await worker.client.close()  # what nats-py does when NATS takes a login back
        await asyncio.wait_for(run.run(QuickServer(), asyncio.Event()), 5)  # type: ignore[arg-type]
    await delivery.hand_back()  # a lost worker's comes again by itself, but after its ack wait
    again = await puller.pull(expires_s=5)
    assert again
    await window.run_of(again).run(QuickServer(), asyncio.Event())  # type: ignore[arg-type]
    assert (await window.journal())["window.0"] == 1
