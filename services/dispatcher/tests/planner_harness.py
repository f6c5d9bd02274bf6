"""A planner in this process, with a real queue and real decoding; a stand-in plays the worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway_harness import until
from journal_harness import BehindAtFirst, Book, book, unique

from whisper_contracts import names
from whisper_contracts.messages import (
    MAX_INLINE_AUDIO_BYTES,
    Segment,
    TranscribeOptions,
    WindowFailure,
    WindowResult,
    WindowTask,
)
from whisper_contracts.pcm import BYTES_PER_SECOND
from whisper_dispatcher.jetstream import objects, topology
from whisper_dispatcher.jetstream.pull import Delivery, Puller
from whisper_dispatcher.jetstream.streams import JetStream, connected
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.jobs.index import JobView
from whisper_dispatcher.planner.process import Planner
from whisper_dispatcher.planner.settings import PlannerSettings

MODEL = "base.en"
LIMIT_S = 30.0


@dataclass
class StandInWorker:
    """Answers every window with its number, in order of arrival."""

    jetstream: JetStream
    answer: Callable[[WindowTask], WindowResult | WindowFailure | None] = lambda task: WindowResult(
        index=task.index,
        language=task.options.language or "de",
        segments=(Segment(start_s=task.start_s, end_s=task.end_s, text=f" w{task.index}"),),
    )
    """None: it takes the window and never answers."""
    tasks: list[WindowTask] = field(default_factory=list)
    lengths_s: list[float] = field(default_factory=list)
    classes: set[str] = field(default_factory=set)

    async def run(self, class_: names.Class) -> None:
        puller = Puller(self.jetstream, names.WINDOWS_STREAM, names.windows_consumer(MODEL, class_))
        await puller.start()
        while True:
            if delivery := await puller.pull(expires_s=0.5):
                self.classes.add(class_)
                await self._take(delivery)

    async def _take(self, delivery: Delivery) -> None:
        task = WindowTask.decode(delivery.headers["Whisper-Window"])
        self.tasks.append(task)
        self.lengths_s.append(len(delivery.data) / BYTES_PER_SECOND)
        match self.answer(task):
            case WindowResult() as result:
                subject = names.window_result_subject(task.options.model, task.client, task.job, task.index)
                await journal.write_once(self.jetstream, subject, result)
            case WindowFailure() as failure:
                subject = names.failure_subject(task.options.model, task.client, task.job, task.index)
                await self.jetstream.publish(subject, failure.encode())
        await delivery.ack()

    def of(self, view: JobView) -> list[WindowTask]:
        return [task for task in self.tasks if task.job == view.job]


@dataclass
class Stage:
    jobs: Book
    worker: StandInWorker
    settings: PlannerSettings
    _stack: AsyncExitStack
    _worker_tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start_worker(self) -> None:
        for class_ in names.CLASSES:
            task = asyncio.create_task(self.worker.run(class_))
            self._worker_tasks.append(task)
            self._stack.push_async_callback(stop, task)

    async def start_planner(self, *missing: str) -> tuple[Planner, asyncio.Task[None]]:
        """missing: subjects that a replica, from which it reads, does not have at first."""
        jetstream = await self._stack.enter_async_context(connected(self.settings.nats_url, name="planner"))
        planner = Planner(self.settings, BehindAtFirst(jetstream, *missing) if missing else jetstream)
        running = asyncio.create_task(planner.run())
        self._stack.push_async_callback(drain, planner, running)
        await until(lambda: planner.tail.is_current)
        return planner, running

    async def submit(self, audio: bytes, **options: object) -> JobView:
        asked = TranscribeOptions.model_validate({"model": MODEL, "language": "en"} | options)
        if len(audio) > MAX_INLINE_AUDIO_BYTES:
            job = unique()
            upload = objects.Upload(self.jobs.jetstream, names.AUDIO_BUCKET, job)
            await upload.write(audio)
            await upload.finish()
            view = await self.jobs.accept(job, audio=b"", audio_object=job, options=asked)
        else:
            view = await self.jobs.accept(audio=audio, options=asked)
        assert view.record
        await journal.queue_plan(self.jobs.jetstream, view.record, generation=view.generation)
        return view

    async def final(self, view: JobView) -> str:
        seen = await self.jobs.index.wait_final(view.job, LIMIT_S)
        assert seen, "the job did not end"
        return seen.name

    async def texts(self, view: JobView) -> list[str]:
        results = await journal.read_results(self.jobs.jetstream, view, list(range(view.total or 0)))
        return ["".join(segment.text for segment in results[index].segments) for index in sorted(results)]


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def drain(planner: Planner, running: asyncio.Task[None]) -> None:
    planner.drain()
    await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def opened(nats_url: str, work_dir: Path) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        jetstream = await stack.enter_async_context(connected(nats_url, name="test"))
        await topology.ensure_model(jetstream, MODEL)
        jobs = await stack.enter_async_context(book(jetstream))
        settings = PlannerSettings(nats_url=nats_url, work_dir=work_dir, decoders=1, windows_ahead=4)
        yield Stage(jobs, StandInWorker(jetstream), settings, stack)


async def gone(stage: Stage, stream: str, subject: str) -> None:
    """Acks and purges come after the state that the test waited for."""
    async with asyncio.timeout(5):
        while await stage.jobs.jetstream.subjects(stream, subject):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
