"""One job, from its plan message to its final state.

The plan message is held (kept in progress) all along, so that a planner that dies hands the whole job to the
next one, which finds the plan and the results in the journal and goes on from there.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import structlog

from whisper_contracts import names
from whisper_contracts.failures import JobFailed
from whisper_contracts.messages import (
    MAX_WINDOW_S,
    JobRecord,
    Plan,
    State,
    TranscribeOptions,
    WindowResult,
    WindowSpan,
    WindowTask,
)
from whisper_dispatcher import tracing
from whisper_dispatcher.jetstream.errors import QueueFull, QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.jobs.index import JobIndex, JobView
from whisper_dispatcher.logs import trace_id
from whisper_dispatcher.planner import recording as recordings
from whisper_dispatcher.planner.cut import silent
from whisper_dispatcher.planner.decode import Decoder
from whisper_dispatcher.planner.feeding import language_of, next_windows, tail_of
from whisper_dispatcher.planner.recording import Recording
from whisper_dispatcher.planner.settings import PlannerSettings
from whisper_dispatcher.planner.work_dir import WorkDir

log = structlog.get_logger()

RECHECK_S = 30.0
"""How often a job that waits compares what it published with what the stream still holds."""
FULL_RETRY_S = 2.0
"""Between two tries to publish into a queue that is full."""


@dataclass
class JobRun:
    jetstream: JetStream
    index: JobIndex
    decoder: Decoder
    settings: PlannerSettings
    work_dir: WorkDir
    view: JobView
    record: JobRecord
    generation: int
    _options: TranscribeOptions = field(init=False)
    """As asked for, and with the language once it is known."""
    _wordless: set[int] = field(default_factory=set)
    """Windows whose result tells no language."""

    def __post_init__(self) -> None:
        self._options = self.record.options

    async def run(self) -> None:
        """Returns when the job is final. Raises QueueUnavailable; may be cancelled at any point."""
        try:
            with tracing.span("job", self.record.traceparent, job=self.view.job, generation=self.generation):
                state = await self._transcribe()
        except JobFailed as failure:
            state = await self._fail(failure)
        # A failed job keeps its audio: it may be requeued, and may have been by now.
        if state in ("completed", "cancelled"):
            is_inline = self.record.audio_object is None
            await journal.delete_audio(self.jetstream, self.view.client, self.view.job, is_inline=is_inline)

    async def _transcribe(self) -> State:
        plan = await self._read_plan() if self.view.total else None
        if plan and self.view.is_complete:
            return await self._complete()
        async with recordings.opened(
            self.jetstream, self.record, self.decoder, work_dir=self.work_dir, max_audio_s=self.settings.max_audio_s
        ) as recording:
            await self._feed(recording, plan)
        return await self._complete()

    async def _plan(self, recording: Recording) -> Plan:
        if recording.duration_s <= MAX_WINDOW_S:
            windows: tuple[WindowSpan, ...] = (WindowSpan(start_s=0.0, end_s=recording.duration_s),)
        else:
            windows = await recordings.cut_in_thread(recording)
        is_short = recording.duration_s <= self.settings.interactive_max_s
        return Plan(duration_s=recording.duration_s, windows=windows, class_="interactive" if is_short else "bulk")

    async def _journal_plan(self, plan: Plan) -> Plan:
        """The plan that counts: ours, or the one somebody wrote first."""
        subject = names.plan_result_subject(self.view.client, self.view.job)
        if await journal.write_once(self.jetstream, subject, plan):
            return plan
        return await self._read_plan()

    async def _read_plan(self) -> Plan:
        """Of a job that has one. Cutting again instead could double words."""
        plan = await journal.read_plan(self.jetstream, self.view.client, self.view.job)
        if plan is None:
            # Read from a replica that is behind; or the job was erased.
            raise QueueUnavailable(f"the plan of job {self.view.job} cannot be read yet")
        return plan

    async def _feed(self, recording: Recording, plan: Plan | None) -> None:
        published = await self._still_queued() if plan else set()
        if plan is None:
            plan = await self._plan(recording)
            if len(plan.windows) == 1:
                # A single window is the same whoever cuts it, so it need not wait for the plan to be on disk.
                await asyncio.gather(self._journal_plan(plan), self._publish_next(recording, plan, published))
            else:
                plan = await self._journal_plan(plan)
            log.info(
                "planned", job=self.view.job, trace=self._trace, windows=len(plan.windows), duration_s=plan.duration_s
            )
        with self.index.watch(self.view.job) as changed:
            while not self._has_ended(plan):
                changed.clear()
                had_room = await self._publish_next(recording, plan, published)
                if self._has_ended(plan):
                    return
                try:
                    async with asyncio.timeout(RECHECK_S if had_room else FULL_RETRY_S):
                        await changed.wait()
                except TimeoutError:
                    if had_room:
                        published = await self._still_queued()

    @property
    def _trace(self) -> str:
        return trace_id(self.record.traceparent)

    def _has_ended(self, plan: Plan) -> bool:
        failure = self.view.failure
        if failure and failure.generation == self.generation and not self.view.is_final:
            raise JobFailed(failure.reason, failure.message)
        return self.view.is_final or len(self.view.done) >= len(plan.windows)

    async def _publish_next(self, recording: Recording, plan: Plan, published: set[int]) -> bool:
        """False when the queue has no room: the recording stays open until it has, or it would be decoded again."""
        await self._pin_language()
        ahead = self.settings.windows_ahead
        for index in next_windows(len(plan.windows), self.view.done, published, self._options, ahead):
            try:
                await self._publish(recording, plan, index)
            except QueueFull:
                log.warning("window put off: the queue is full", job=self.view.job, window=index)
                return False
            published.add(index)
        return True

    async def _pin_language(self) -> None:
        """The language of the first words that were heard holds for all that follows."""
        if self._options.language:
            return
        for index in sorted(self.view.done - self._wordless):
            result = await journal.read_result(self.jetstream, self.view, index)
            if language := language_of(result):
                self._options = self._options.model_copy(update={"language": language})
                return
            self._wordless.add(index)

    async def _publish(self, recording: Recording, plan: Plan, index: int) -> None:
        span, view, options = plan.windows[index], self.view, self._options
        pcm = recording.window(span)
        if silent(pcm):
            subject = names.window_result_subject(options.model, view.client, view.job, index)
            await journal.write_once(
                self.jetstream, subject, WindowResult(index=index, language=options.language or "")
            )
            return
        prompt = options.prompt
        if options.mode == "sequential" and index:
            prompt = tail_of(await journal.read_result(self.jetstream, view, index - 1), prompt)
        task = WindowTask(
            job=view.job,
            client=view.client,
            index=index,
            total=len(plan.windows),
            start_s=span.start_s,
            end_s=span.end_s,
            options=options,
            generation=self.generation,
            prompt=prompt,
            traceparent=self.record.traceparent,
        )
        await self.jetstream.publish(
            names.window_subject(options.model, plan.class_, view.client, view.job, index),
            pcm,
            headers={"Whisper-Window": task.encode().decode()},
        )

    async def _still_queued(self) -> set[int]:
        """What is neither done nor in the stream has been lost and is published again."""
        subjects = await self.jetstream.subjects(
            names.WINDOWS_STREAM, names.job_windows_filter(self.view.client, self.view.job)
        )
        return {int(subject.rsplit(".", 1)[1]) for subject in subjects} | self.view.done

    async def _complete(self) -> State:
        while (state := self._final_state()) is None:
            if await journal.complete(self.jetstream, self.view):
                log.info("completed", job=self.view.job, trace=self._trace)
                return "completed"
            await self._state_is_newer()
        return state

    async def _fail(self, failure: JobFailed) -> State:
        detail = self.view.failure
        while (state := self._final_state()) is None:
            if await journal.fail(
                self.jetstream,
                self.view,
                failure.reason,
                failure.message,
                window=detail.index if detail else None,
                attempts=detail.attempts if detail else 0,
            ):
                log.warning("failed", job=self.view.job, trace=self._trace, reason=failure.reason)
                return "failed"
            await self._state_is_newer()
        return state

    def _final_state(self) -> State | None:
        return self.view.state.state if self.view.state and self.view.is_final else None

    async def _state_is_newer(self) -> None:
        """A compare-and-set was refused: wait until the journal's newer state has reached this process."""
        with self.index.watch(self.view.job) as changed:
            try:
                async with asyncio.timeout(1.0):
                    await changed.wait()
            except TimeoutError:
                log.info("state not seen yet, trying again", job=self.view.job)
