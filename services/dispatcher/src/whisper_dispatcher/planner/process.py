"""The planner process: takes plan messages, runs their jobs, keeps the journal and the queue in step."""

from __future__ import annotations

import asyncio
import errno
import signal
from collections import Counter
from contextlib import suppress

import structlog
from pydantic import ValidationError

from whisper_contracts import names
from whisper_contracts.failures import FailureReason
from whisper_contracts.messages import PlanTask
from whisper_dispatcher import event_loop, probes
from whisper_dispatcher.jetstream import topology
from whisper_dispatcher.jetstream.errors import QueueFull, QueueUnavailable
from whisper_dispatcher.jetstream.pull import Delivery, Puller, keep_in_progress
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jetstream.tail import Tail
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.jobs.index import JobIndex
from whisper_dispatcher.planner.decode import Decoder
from whisper_dispatcher.planner.hooks import HookSender
from whisper_dispatcher.planner.job_run import JobRun
from whisper_dispatcher.planner.maintenance import Maintenance
from whisper_dispatcher.planner.settings import PlannerSettings
from whisper_dispatcher.planner.work_dir import WorkDir
from whisper_dispatcher.stopping import unless_stopped

log = structlog.get_logger()

PULL_S = 5.0
RECORD_WAIT_S = 5.0
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
DISK_FULL_RETRY_S = 30.0
"""No job fails for it: the jobs that fill the disk end, and another planner's may have room."""
MAX_CRASHES = 5
"""Failures for reasons unknown after which a plan ends its job; deliveries without a record, after which it goes."""


class Planner:
    def __init__(self, settings: PlannerSettings, jetstream: JetStream) -> None:
        self.settings = settings
        self.jetstream = jetstream
        self.index = JobIndex()
        self.tail = Tail(jetstream, names.JOURNAL_STREAM, [names.JOB_SUBJECTS], self.index.apply)
        self.decoder = Decoder(max_duration_s=settings.max_audio_s, workers=settings.decoders)
        self.work_dir = WorkDir(settings.work_dir, settings.work_dir_bytes)
        self.held: set[str] = set()
        self._holding: set[int] = set()
        """Sequences of the plan messages of the held jobs."""
        self._crashes: Counter[str] = Counter()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        await asyncio.to_thread(self.work_dir.drop_left)
        await topology.wait_for_streams(self.jetstream)
        await self.decoder.start()
        await self.tail.start()
        hooks = HookSender(self.jetstream, self.index, allow_private=self.settings.callbacks_allow_private)
        maintenance = Maintenance(self.jetstream, self.index, self.settings, self.held)
        log.info("planner ready")
        try:
            async with asyncio.TaskGroup() as group:
                background = [group.create_task(maintenance.run()), group.create_task(hooks.run())]
                group.create_task(self._serve("interactive", self.settings.interactive_jobs))
                group.create_task(self._serve("bulk", self.settings.bulk_jobs))
                await self._stopping.wait()
                for task in background:
                    task.cancel()
        finally:
            await self.tail.stop()
            await self.decoder.close()

    def drain(self) -> None:
        """Stop pulling and hand the held jobs to the next planner."""
        self._stopping.set()

    async def _serve(self, class_: names.Class, slots: int) -> None:
        puller = Puller(self.jetstream, names.PLAN_STREAM, names.plan_consumer(class_))
        await puller.start()
        free = asyncio.Semaphore(slots)
        held: set[asyncio.Task[None]] = set()
        while not self._stopping.is_set() and await unless_stopped(self._stopping, free.acquire()):
            delivery = await self._next(puller)
            if delivery is None:
                free.release()
                continue
            task = asyncio.create_task(self._hold(delivery))
            held.add(task)
            task.add_done_callback(held.discard)
            task.add_done_callback(lambda _: free.release())
        # First, or what is handed back would come to the request that is still open here.
        await puller.stop()
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)

    async def _next(self, puller: Puller) -> Delivery | None:
        try:
            return await unless_stopped(self._stopping, puller.pull(expires_s=PULL_S))
        except QueueUnavailable:
            await asyncio.sleep(0.2)
            return None

    async def _hold(self, delivery: Delivery) -> None:
        if delivery.sequence in self._holding:
            # A NATS that was killed has forgotten that it is in progress. The run that has it settles this one too.
            log.info("held already", subject=delivery.subject, deliveries=delivery.deliveries)
            return
        try:
            task = PlanTask.decode(delivery.data)
        except ValidationError:
            # The job's record is in the journal: maintenance queues it again in words of our own.
            log.error("a plan message cannot be read", subject=delivery.subject)
            await delivery.ack()
            return
        progress = asyncio.create_task(keep_in_progress(delivery, topology.PLAN_ACK_WAIT_S / 3))
        self.held.add(task.job)
        self._holding.add(delivery.sequence)
        try:
            await self._run(task, delivery)
            self._crashes.pop(task.job, None)
            await delivery.ack()
        except asyncio.CancelledError:
            await delivery.hand_back()
            raise
        except (QueueUnavailable, QueueFull) as error:
            log.warning("job handed back", job=task.job, reason=str(error))
            await delivery.hand_back(delay_s=1.0)
        except Exception as error:
            await self._crashed(task, delivery, error)
        finally:
            self.held.discard(task.job)
            self._holding.discard(delivery.sequence)
            progress.cancel()

    async def _run(self, task: PlanTask, delivery: Delivery) -> None:
        view = await self.index.wait_record(task.job, RECORD_WAIT_S)
        if view is None or view.record is None:
            # Erased meanwhile, or the journal is behind; the second is tried again.
            if delivery.deliveries < MAX_CRASHES or not self.tail.is_current:
                raise QueueUnavailable(f"no record of job {task.job} yet")
            return
        if view.generation < task.generation:
            raise QueueUnavailable(f"the requeue of job {task.job} is not known here yet")
        if view.is_final or view.generation > task.generation:
            return
        run = JobRun(
            self.jetstream,
            self.index,
            self.decoder,
            self.settings,
            self.work_dir,
            view,
            view.record,
            generation=task.generation,
        )
        await run.run()

    async def _crashed(self, task: PlanTask, delivery: Delivery, error: Exception) -> None:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            log.warning("job handed back", job=task.job, reason=f"the disk of {self.settings.work_dir} is full")
            await delivery.hand_back(delay_s=DISK_FULL_RETRY_S)
            return
        log.error("planning failed", job=task.job, deliveries=delivery.deliveries, exc_info=error)
        self._crashes[task.job] += 1
        view = self.index.get(task.job)
        if view is None or self._crashes[task.job] < MAX_CRASHES:
            await delivery.hand_back(delay_s=2.0 ** self._crashes[task.job])
            return
        del self._crashes[task.job]
        reason = FailureReason.INTERNAL
        with suppress(QueueUnavailable, QueueFull):
            await journal.fail(self.jetstream, view, reason, "The audio could not be planned. Requeue the job.")
            await delivery.ack()


async def serve(settings: PlannerSettings) -> None:
    jetstream = await settings.connect("planner")
    jetstream.on_loss(event_loop.end_process)
    planner = Planner(settings, jetstream)
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, planner.drain)
    listener = await probes.serve(
        settings.probe_host,
        settings.probe_port,
        healthy=lambda: None,
        ready=lambda: None if planner.tail.is_current else "The planner does not follow the journal: NATS is away.",
    )
    try:
        await planner.run()
    finally:
        listener.close()
        await jetstream.close()


def main() -> None:
    settings = PlannerSettings.load()
    settings.start_reporting("planner")
    event_loop.run(serve(settings))
