"""The worker process: the first process of its pod. Pulls windows only while one of its servers is idle."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from contextlib import AsyncExitStack

import structlog
from nats.aio.msg import Msg
from prometheus_client import Gauge
from pydantic import ValidationError

from whisper_contracts import names
from whisper_contracts.messages import WorkerStatus
from whisper_dispatcher import __version__, event_loop, probes
from whisper_dispatcher.jetstream import topology
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.pull import Delivery
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.stopping import unless_stopped
from whisper_dispatcher.worker import heartbeat
from whisper_dispatcher.worker.golden import GoldenClip, default_clip
from whisper_dispatcher.worker.settings import WorkerSettings
from whisper_dispatcher.worker.source import WindowSource
from whisper_dispatcher.worker.supervisor import Supervisor
from whisper_dispatcher.worker.whisper_server import ModelRefused, ServerConfig, ServerFailed, WhisperServer
from whisper_dispatcher.worker.window_run import WindowRun
from whisper_models.ggml import InvalidModelFile, check_model_file

log = structlog.get_logger()

NATS_AWAY_S = 0.2
BUSY = Gauge("whisperfleet_servers_busy", "whisper-servers with a window in them.")
READY = Gauge("whisperfleet_servers_ready", "whisper-servers that may be given work.")


class Worker:
    def __init__(self, settings: WorkerSettings, jetstream: JetStream) -> None:
        self.settings = settings
        self.jetstream = jetstream
        self.supervisor = Supervisor(_server_config(settings), settings.slots, golden_clip(settings))
        self.started = False
        self._running: dict[str, set[asyncio.Event]] = {}
        self._at_work: dict[int, heartbeat.AtWork] = {}
        self._stopping = asyncio.Event()
        READY.set_function(lambda: sum(state.ready for state in self.supervisor.states()))
        BUSY.set_function(lambda: sum(state.busy for state in self.supervisor.states()))

    def drain(self) -> None:
        """Stop pulling, finish what runs."""
        self._stopping.set()

    async def run(self) -> None:
        """Raises ServerFailed."""
        await _check_model(self.settings)
        await topology.wait_for_streams_as_worker(self.jetstream, self.settings.model)
        beating = asyncio.create_task(self._beat(), name="heartbeat")
        try:
            await self._start_and_serve()
        finally:
            beating.cancel()

    async def _start_and_serve(self) -> None:
        await self.supervisor.start()
        await self.jetstream.client.subscribe(names.CANCEL_SUBJECTS, cb=self._on_cancel)
        self.started = True
        log.info("worker ready", model=self.settings.model, slots=self.settings.slots)
        try:
            async with asyncio.TaskGroup() as group:
                for slot in range(self.settings.slots):
                    group.create_task(self._serve(slot))
        finally:
            await self.supervisor.close(self.settings.drain_s)

    def problem(self) -> str | None:
        """Why no work is pulled; None = all is well."""
        if not self.started:
            return "The whisper-servers have not transcribed their golden clip yet."
        if not self.jetstream.is_connected:
            return "NATS is away."
        states = self.supervisor.states()
        if not any(state.ready for state in states):
            return f"No whisper-server is ready: {states[0].last_error or states[0].stage}"
        return None

    async def _on_cancel(self, message: Msg) -> None:
        for event in self._running.get(message.subject.rsplit(".", 1)[1], ()):
            event.set()

    async def _serve(self, slot: int) -> None:
        source = WindowSource(self.jetstream, self.settings.model)
        await source.start()
        rng = random.Random()  # noqa: S311  jitter, not a secret
        async with asyncio.TaskGroup() as runs:
            before: asyncio.Task[None] | None = None
            while not self._stopping.is_set():
                async with AsyncExitStack() as held:
                    # A server that is down may stay so for ever.
                    lent = held.enter_async_context(self.supervisor.slot(slot))
                    server = await unless_stopped(self._stopping, lent)
                    if server is None or self._stopping.is_set():
                        break
                    run = await self._next_run(source, server, rng)
                    if run is None:
                        continue
                    running = runs.create_task(self._carry_out(run, server))
                    self._at_work[slot] = heartbeat.AtWork(run.task.job, run.task.index, time.monotonic())
                    await run.server_is_free.wait()
                    del self._at_work[slot]
                # One result at a time may wait for the journal, or a full one would fill this process.
                if before:
                    await before
                before = running
        await source.stop()

    async def _next_run(self, source: WindowSource, server: WhisperServer, rng: random.Random) -> WindowRun | None:
        delivery = await self._next(source)
        if delivery is None:
            return None
        if not server.is_alive:  # it died while this slot waited for work
            await delivery.hand_back()
            return None
        try:
            return WindowRun.of(self.jetstream, delivery, self.settings.window_timeout_s, rng)
        except (KeyError, ValidationError):
            # Whoever runs the job finds the window gone and publishes it again.
            log.error("a window message cannot be read", subject=delivery.subject)
            await delivery.ack()
            return None

    async def _carry_out(self, run: WindowRun, server: WhisperServer) -> None:
        cancelled = asyncio.Event()
        self._running.setdefault(run.task.job, set()).add(cancelled)
        try:
            await run.run(server, cancelled)
        finally:
            self._forget(run.task.job, cancelled)

    def _forget(self, job: str, cancelled: asyncio.Event) -> None:
        self._running[job].discard(cancelled)
        if not self._running[job]:
            del self._running[job]

    async def _beat(self) -> None:
        worker, began = heartbeat.worker_name(), time.monotonic()

        def status() -> WorkerStatus:
            now = time.monotonic()
            return WorkerStatus(
                worker=worker,
                model=self.settings.model,
                software=__version__,
                uptime_s=now - began,
                draining=self._stopping.is_set(),
                servers=tuple(
                    heartbeat.server_status(state, self._at_work.get(state.index), now)
                    for state in self.supervisor.states()
                ),
            )

        await heartbeat.beat(self.jetstream, names.worker_subject(self.settings.model, worker), status)

    async def _next(self, source: WindowSource) -> Delivery | None:
        try:
            return await source.next()
        except QueueUnavailable:
            await asyncio.sleep(NATS_AWAY_S)
            return None


async def _check_model(settings: WorkerSettings) -> None:
    try:
        await asyncio.to_thread(check_model_file, settings.model_path, checksum=not settings.model_verified)
    except InvalidModelFile as error:
        raise ModelRefused(str(error)) from error


def _server_config(settings: WorkerSettings) -> ServerConfig:
    return ServerConfig(
        binary=settings.whisper_server,
        model=settings.model_path,
        threads=settings.threads,
        language=settings.server_language,
        gpu_required=settings.gpu_required,
        extra_args=settings.server_args,
    )


def golden_clip(settings: WorkerSettings) -> GoldenClip:
    if settings.golden_clip is None:
        return default_clip(settings.server_language)
    return GoldenClip.load(
        settings.golden_clip,
        settings.golden_text,
        settings.golden_max_word_error_rate,
        None if settings.server_language == "auto" else settings.server_language,
    )


async def serve(settings: WorkerSettings) -> int:
    jetstream = await settings.connect("worker")
    jetstream.on_loss(event_loop.end_process)
    worker = Worker(settings, jetstream)
    running = asyncio.create_task(worker.run())
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, _stop, worker, running)
    listener = await probes.serve(settings.probe_host, settings.probe_port, healthy=lambda: None, ready=worker.problem)
    try:
        await running
    except asyncio.CancelledError:
        return 0
    except ServerFailed as error:
        log.error("worker stops", reason=error.reason, error=str(error))
        return 1
    finally:
        listener.close()
        await jetstream.close()
    return 0


def _stop(worker: Worker, running: asyncio.Task[None]) -> None:
    if worker.started:
        worker.drain()
    else:
        running.cancel()  # nothing has been pulled yet


def main() -> None:
    settings = WorkerSettings.load()
    settings.start_reporting("worker")
    raise SystemExit(event_loop.run(serve(settings)))
