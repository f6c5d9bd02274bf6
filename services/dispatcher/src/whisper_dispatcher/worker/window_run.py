"""One window: inference, then its result in the journal, then the ack. In that order, so that a crash repeats
work and never loses it."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field

import structlog
from prometheus_client import Counter, Histogram

from whisper_contracts import names
from whisper_contracts.failures import SENTENCES, FailureReason, JobFailed
from whisper_contracts.messages import Attempt, WindowFailure, WindowResult, WindowTask
from whisper_contracts.pcm import BYTES_PER_SECOND
from whisper_dispatcher import tracing
from whisper_dispatcher.jetstream import topology
from whisper_dispatcher.jetstream.errors import QueueFull, QueueUnavailable
from whisper_dispatcher.jetstream.pull import Delivery, keep_in_progress
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jobs import journal, retry
from whisper_dispatcher.logs import trace_id
from whisper_dispatcher.transcript.server_response import parse_verbose_json
from whisper_dispatcher.worker.inference_form import InferenceOptions
from whisper_dispatcher.worker.whisper_server import WhisperServer

log = structlog.get_logger()

JOURNAL_RETRY_S = 0.5
WINDOWS = Counter("whisperfleet_windows_total", "Windows this worker has settled.", ["outcome"])
INFERENCE = Histogram("whisperfleet_inference_seconds", "Time of one inference.")


@dataclass
class WindowRun:
    jetstream: JetStream
    delivery: Delivery
    task: WindowTask
    timeout_s: float
    rng: random.Random
    server_is_free: asyncio.Event = field(default_factory=asyncio.Event)
    """Set before the result is stored: the server can have its next window meanwhile."""

    @classmethod
    def of(cls, jetstream: JetStream, delivery: Delivery, timeout_s: float, rng: random.Random) -> WindowRun:
        """Raises KeyError or ValidationError for a message that is no window."""
        return cls(jetstream, delivery, WindowTask.decode(delivery.headers["Whisper-Window"]), timeout_s, rng)

    async def run(self, server: WhisperServer, cancelled: asyncio.Event) -> None:
        progress = asyncio.create_task(keep_in_progress(self.delivery, topology.WINDOW_ACK_WAIT_S / 3))
        try:
            await self._run(server, cancelled)
        except (QueueUnavailable, QueueFull) as error:
            # The message comes again after its ack wait: a count of attempts is lost by this, and a result only where
            # NATS has closed the connection for good.
            log.warning("window left to the queue", job=self.task.job, window=self.task.index, reason=str(error))
        finally:
            self.server_is_free.set()
            progress.cancel()

    async def _run(self, server: WhisperServer, cancelled: asyncio.Event) -> None:
        if self.delivery.deliveries > 1 and await self._is_done():
            await self.delivery.ack()
            return
        before = await self._attempt_before()
        if before.begun >= retry.MAX_DEATHS:
            died = JobFailed(
                FailureReason.INTERNAL,
                "Every worker that took this part of the audio died of it. "
                "Requeue the job; if it fails again, tell the operator its id.",
            )
            await self._give_up(died, before.attempts + before.begun)
            return
        await self._note_begun(before)
        try:
            with tracing.span("window", self.task.traceparent, job=self.task.job, window=self.task.index):
                result = await self._infer(server, cancelled)
        except JobFailed as failure:
            await self._failed(failure, before)
            return
        except Exception:
            # A fault of ours with this window; it must not take down the windows beside it.
            log.exception("window failed for a reason unknown", job=self.task.job, window=self.task.index)
            await self._failed(JobFailed(FailureReason.INTERNAL), before)
            return
        if result is None:
            log.info("window cancelled", job=self.task.job, window=self.task.index)
            WINDOWS.labels("cancelled").inc()
            await self.delivery.ack()
            return
        await self._write(self._result_subject, result)
        WINDOWS.labels("done").inc()
        await self.delivery.ack()

    # Of the journal a worker may read its own queue's results and attempts, each by its subject, and nothing else.
    async def _is_done(self) -> bool:
        return await self.jetstream.get_last(names.JOURNAL_STREAM, self._result_subject) is not None

    async def _attempt_before(self) -> Attempt:
        """What the journal has of this window in this generation; nothing yet at its first delivery."""
        if self.delivery.deliveries > 1:
            stored = await self.jetstream.get_last(names.JOURNAL_STREAM, self._attempt_subject)
            if stored and (attempt := Attempt.decode(stored.data)).generation == self.task.generation:
                return attempt
        return Attempt(generation=self.task.generation, attempts=0, reason=FailureReason.INTERNAL, retry_at=time.time())

    async def _note_begun(self, before: Attempt) -> None:
        """From the second delivery on: the first costs no write, and one death is no sign of anything."""
        if self.delivery.deliveries > 1:
            begun = before.model_copy(update={"begun": before.begun + 1})
            await self.jetstream.publish(self._attempt_subject, begun.encode())

    @property
    def _result_subject(self) -> str:
        return names.window_result_subject(*self._window)

    @property
    def _attempt_subject(self) -> str:
        return names.attempt_subject(*self._window)

    @property
    def _window(self) -> tuple[str, str, str, int]:
        task = self.task
        return task.options.model, task.client, task.job, task.index

    async def _infer(self, server: WhisperServer, cancelled: asyncio.Event) -> WindowResult | None:
        """None: the job was cancelled. Closing the request makes whisper-server stop."""
        pcm, options = self.delivery.data, self.task.options
        began = time.monotonic()
        inference = asyncio.create_task(
            server.inference(
                pcm,
                InferenceOptions(
                    language=options.language,
                    translate=options.task == "translate",
                    prompt=self.task.prompt or options.prompt,
                    temperature=options.temperature,
                    words=options.words,
                ),
                self.timeout_s,
            )
        )
        stop = asyncio.create_task(cancelled.wait())
        try:
            await asyncio.wait({inference, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not inference.done():
                return None
            response = parse_verbose_json(
                inference.result(), offset_s=self.task.start_s, window_s=len(pcm) / BYTES_PER_SECOND
            )
        finally:
            for task in (inference, stop):
                task.cancel()
            await asyncio.gather(inference, stop, return_exceptions=True)
            self.server_is_free.set()
        spent_s = time.monotonic() - began
        INFERENCE.observe(spent_s)
        return WindowResult(
            index=self.task.index,
            language=response.language or options.language or "",
            segments=response.segments,
            inference_s=round(spent_s, 4),
        )

    async def _failed(self, failure: JobFailed, before: Attempt) -> None:
        task, attempts = self.task, before.attempts + 1
        decision = retry.decide(failure.reason, attempts, self.rng)
        if isinstance(decision, retry.GiveUp):
            await self._give_up(failure, attempts)
            return
        log.warning(
            "window failed, will be tried again", delay_s=round(decision.delay_s, 2), **self._facts(failure, attempts)
        )
        attempt = Attempt(
            generation=task.generation,
            attempts=attempts,
            reason=failure.reason,
            message=failure.message,
            retry_at=time.time() + decision.delay_s,
            begun=before.begun,
        )
        await self.jetstream.publish(self._attempt_subject, attempt.encode())
        WINDOWS.labels("retried").inc()
        await self.delivery.hand_back(delay_s=decision.delay_s)

    async def _give_up(self, failure: JobFailed, attempts: int) -> None:
        task = self.task
        log.error("window given up", **self._facts(failure, attempts))
        lost = WindowFailure(
            generation=task.generation,
            index=task.index,
            attempts=attempts,
            reason=failure.reason,
            message=failure.message or SENTENCES[failure.reason],
        )
        await self.jetstream.publish(names.failure_subject(*self._window), lost.encode())
        WINDOWS.labels("failed").inc()
        await self.delivery.ack()

    def _facts(self, failure: JobFailed, attempts: int) -> dict[str, object]:
        task = self.task
        return {
            "job": task.job,
            "window": task.index,
            "trace": trace_id(task.traceparent),
            "reason": failure.reason,
            "attempts": attempts,
        }

    async def _write(self, subject: str, result: WindowResult) -> None:
        """The inference is paid for: wait for NATS rather than do it again, unless this connection will not come back."""
        while True:
            try:
                await journal.write_once(self.jetstream, subject, result)
                return
            except (QueueUnavailable, QueueFull):
                if self.jetstream.is_lost:
                    raise
            log.warning("result not stored yet", job=self.task.job, window=self.task.index)
            await asyncio.sleep(JOURNAL_RETRY_S)
