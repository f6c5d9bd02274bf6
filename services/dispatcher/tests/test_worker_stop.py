"""A worker that is told to stop while it has no whisper-server to give work to."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from gateway_harness import until

from whisper_contracts import names
from whisper_dispatcher.jetstream import topology
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.worker.process import Worker
from whisper_dispatcher.worker.settings import WorkerSettings

MODEL = "demo.en"


def dies_for_good(folder: Path) -> Path:
    """A whisper-server that works until it is killed; its successors hang while they start."""
    script, started = folder / "whisper-server", folder / "started"
    stub = f'exec "{sys.executable}" -m whisper_dispatcher.worker.stub_server "$@"'
    script.write_text(f'#!/bin/sh\n[ -e "{started}" ] && exec sleep 600\n: > "{started}"\n{stub}\n')
    script.chmod(0o755)
    return script


async def no_open_pulls(jetstream: JetStream) -> None:
    """The slot now waits for its next whisper-server."""
    async with asyncio.timeout(10):
        for class_ in names.CLASSES:
            consumer = f"CONSUMER.INFO.{names.WINDOWS_STREAM}.{names.windows_consumer(MODEL, class_)}"
            while (await jetstream.api(consumer))["num_waiting"]:  # noqa: ASYNC110  the server changes it
                await asyncio.sleep(0.02)


async def test_a_worker_told_to_stop_while_its_server_is_down_ends_and_takes_no_work(
    jetstream: JetStream, demo_model: Path, tmp_path: Path
) -> None:
    await topology.ensure_model(jetstream, MODEL)
    settings = WorkerSettings(model=MODEL, model_path=demo_model, whisper_server=dies_for_good(tmp_path))
    worker = Worker(settings, jetstream)
    running = asyncio.create_task(worker.run())
    await until(lambda: worker.started)
    (state,) = worker.supervisor.states()
    assert state.pid
    os.kill(state.pid, signal.SIGKILL)
    await until(lambda: worker.supervisor.states()[0].pid not in (state.pid, None))
    subject = names.window_subject(MODEL, "interactive", "c", "j", 0)
    await no_open_pulls(jetstream)
    await jetstream.publish(subject, b"", headers={"Whisper-Window": "no window"})
    worker.drain()
    await asyncio.wait_for(running, 10)
    assert await jetstream.subjects(names.WINDOWS_STREAM, subject) == {subject: 1}
