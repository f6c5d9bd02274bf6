from __future__ import annotations

import asyncio
import json
import random

import pytest
from journal_harness import unique

from whisper_contracts import names
from whisper_contracts.messages import TranscribeOptions, WindowResult, WindowTask
from whisper_contracts.pcm import BYTES_PER_SECOND
from whisper_dispatcher.jetstream import topology
from whisper_dispatcher.jetstream.connection import JetStream
from whisper_dispatcher.jetstream.pull import Puller
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.worker.window_run import WindowRun


class QuickServer:
    """A whisper-server that has heard one word before it is asked."""

    async def inference(self, pcm: bytes, options: object, timeout_s: float) -> bytes:
        segment = {"start": 0.0, "end": 1.0, "text": " hello", "tokens": [], "words": []}
        return json.dumps({"language": "english", "text": " hello", "segments": [segment]}).encode()


async def test_the_server_is_free_for_its_next_window_while_the_result_is_stored(
    jetstream: JetStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, client, job = f"m-{unique()}", unique(), unique()
    await topology.ensure_model(jetstream, model)
    task = WindowTask(
        job=job, client=client, index=0, total=1, start_s=0, end_s=1, options=TranscribeOptions(model=model)
    )
    subject = names.window_subject(model, "interactive", client, job, 0)
    headers = {"Whisper-Window": task.encode().decode()}
    await jetstream.publish(subject, bytes(BYTES_PER_SECOND), headers=headers)
    puller = Puller(jetstream, names.WINDOWS_STREAM, names.windows_consumer(model, "interactive"))
    await puller.start()
    delivery = await puller.pull(expires_s=5)
    assert delivery
    may_store, write_once = asyncio.Event(), journal.write_once

    async def write_later(jetstream: JetStream, subject: str, result: WindowResult) -> bool:
        await may_store.wait()
        return await write_once(jetstream, subject, result)

    monkeypatch.setattr(journal, "write_once", write_later)
    run = WindowRun.of(jetstream, delivery, 5.0, random.Random(1))
    running = asyncio.create_task(run.run(QuickServer(), asyncio.Event()))  # type: ignore[arg-type]
    await asyncio.wait_for(run.server_is_free.wait(), 5)
    assert not running.done()
    may_store.set()
    await running
    result = names.window_result_subject(client, job, 0)
    assert await jetstream.get_last(names.JOURNAL_STREAM, result)
    await puller.stop()
