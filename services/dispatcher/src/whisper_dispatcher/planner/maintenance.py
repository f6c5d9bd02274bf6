"""What keeps journal and queue in step: healing, expiry, erasure. Every planner does it; repeats are harmless."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import structlog

from whisper_contracts import names
from whisper_contracts.failures import SENTENCES, FailureReason
from whisper_contracts.messages import JobState
from whisper_dispatcher.jetstream import objects
from whisper_dispatcher.jetstream.connection import JetStream
from whisper_dispatcher.jetstream.errors import QueueFull, QueueUnavailable
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.jobs.index import JobIndex, JobView
from whisper_dispatcher.planner.settings import PlannerSettings

log = structlog.get_logger()

SWEEP_CHUNKS_EVERY_S = 6 * 3600.0
"""Longer than any upload takes."""


def is_orphan(view: JobView, planned: set[str], now: float, grace_s: float) -> bool:
    """Accepted, not final, and no plan message left that would ever bring it on."""
    return (
        view.record is not None
        and not view.is_final
        and view.job not in planned
        and now - max(view.record.created_at, view.state.at if view.state else 0.0) > grace_s
    )


def is_outlived(state: JobState | None, now: float, settings: PlannerSettings) -> bool:
    """A final job whose data may go."""
    if state is None or state.state == "queued":
        return False
    ttl_s = settings.dead_letter_ttl_s if state.state == "failed" else settings.result_ttl_s
    return now - state.at > ttl_s


@dataclass
class Maintenance:
    jetstream: JetStream
    index: JobIndex
    settings: PlannerSettings
    held: set[str]
    _ghosts: set[str] = field(default_factory=set)
    _chunks: set[str] = field(default_factory=set)
    _swept_at: float = 0.0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self.settings.maintenance_every_s)
            try:
                await self.tend(time.time())
            except (QueueUnavailable, QueueFull) as error:
                log.warning("maintenance put off", reason=str(error))

    async def tend(self, now: float) -> None:
        await self._heal(now)
        await self._expire(now)
        await self._erase(now)
        await self._drop_left_audio()
        if now - self._swept_at > SWEEP_CHUNKS_EVERY_S:
            self._chunks = await objects.sweep_chunks(self.jetstream, names.AUDIO_BUCKET, self._chunks)
            self._swept_at = now

    async def _heal(self, now: float) -> None:
        subjects = await self.jetstream.subjects(names.PLAN_STREAM, names.PLAN_SUBJECTS)
        planned = {subject.rsplit(".", 1)[1] for subject in subjects} | self.held
        for view in self.index.active():
            if view.record and is_orphan(view, planned, now, self.settings.maintenance_every_s):
                log.warning("job had no plan message, queued again", job=view.job)
                await journal.queue_plan(self.jetstream, view.record, generation=view.generation, again=int(now))

    async def _expire(self, now: float) -> None:
        for view in self.index.active():
            if view.record and now - view.record.created_at > self.settings.job_expiry_s:
                log.warning("job expired", job=view.job)
                await journal.fail(self.jetstream, view, FailureReason.EXPIRED, SENTENCES[FailureReason.EXPIRED])

    async def _erase(self, now: float) -> None:
        outlived = [view for view in self.index.jobs() if is_outlived(view.state, now, self.settings)]
        ghosts = self.index.ghosts()
        for view in [*outlived, *(ghost for ghost in ghosts if ghost.job in self._ghosts)]:
            await journal.erase(self.jetstream, view)
            log.info("erased", job=view.job)
        self._ghosts = {view.job for view in ghosts}

    async def _drop_left_audio(self) -> None:
        """Audio of finished jobs whose planner died before it could delete it. Dead letters keep theirs."""
        subjects = await self.jetstream.subjects(names.JOURNAL_STREAM, names.AUDIO_SUBJECTS)
        for subject in subjects:
            client, job = subject.split(".")[2:4]
            view = self.index.get(job)
            if view and view.state and view.is_final and view.state.state != "failed" and job not in self.held:
                await journal.delete_audio(self.jetstream, client, job)
