"""Both ends of our hand-over with no work between them: publish, pull, result, ack, one message each.

python -m bench.hand_over NATS_URL     is one worker process
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import servers
from whisper_contracts import names
from whisper_contracts.messages import TranscribeOptions, WindowResult, WindowTask
from whisper_dispatcher.jetstream import topology
from whisper_dispatcher.jetstream.streams import JetStream, Stored, connected
from whisper_dispatcher.jetstream.tail import Tail
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.worker.source import WindowSource

MODEL = "bench"
CLIENT = "bench"


async def serve(url: str, slots: int) -> None:
    async with connected(url, name="bench worker") as jetstream:
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        await asyncio.gather(*(_slot(jetstream, stopping) for _ in range(slots)))


async def _slot(jetstream: JetStream, stopping: asyncio.Event) -> None:
    source = WindowSource(jetstream, MODEL)
    await source.start()
    while not stopping.is_set():
        if delivery := await source.next():
            task = WindowTask.decode(delivery.headers["Whisper-Window"])
            subject = names.window_result_subject(MODEL, task.client, task.job, task.index)
            await journal.write_once(jetstream, subject, WindowResult(index=task.index))
            await delivery.ack()


@contextmanager
def workers(url: str, data: Path, *, processes: int, slots: int) -> Iterator[None]:
    from contextlib import ExitStack

    argv = [sys.executable, "-m", "bench.hand_over", url, str(slots)]
    with ExitStack() as stack:
        for number in range(processes):
            stack.enter_context(servers.process(argv, data / f"worker-{number}.log"))
        yield


async def prepare(url: str) -> None:
    async with connected(url, name="bench set-up") as jetstream:
        await topology.ensure_streams(jetstream, topology.Limits())
        await topology.ensure_model(jetstream, MODEL)


class Producer:
    """Hands over jobs and hears of each one's result, with a bounded number on their way."""

    def __init__(self, jetstream: JetStream, in_flight: int) -> None:
        self._jetstream = jetstream
        self._free = asyncio.Semaphore(in_flight)
        self._waiting: dict[str, asyncio.Event] = {}
        self._tail = Tail(jetstream, names.JOURNAL_STREAM, [names.JOB_SUBJECTS], self._on_result)

    def _on_result(self, stored: Stored) -> None:
        if event := self._waiting.get(names.parse_job_subject(stored.subject).job):
            event.set()

    async def start(self) -> None:
        await self._tail.start()

    async def stop(self) -> None:
        await self._tail.stop()

    async def run(self, jobs: int) -> float:
        """Jobs a second."""
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(jobs):
                await self._free.acquire()
                group.create_task(self._one())
        return jobs / (time.perf_counter() - began)

    async def _one(self) -> None:
        job = uuid.uuid4().hex
        task = WindowTask(
            job=job, client=CLIENT, index=0, total=1, start_s=0, end_s=1, options=TranscribeOptions(model=MODEL)
        )
        done = self._waiting[job] = asyncio.Event()
        subject = names.window_subject(MODEL, "interactive", CLIENT, job, 0)
        await self._jetstream.publish(subject, b"", headers={"Whisper-Window": task.encode().decode()})
        await done.wait()
        del self._waiting[job]
        self._free.release()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
