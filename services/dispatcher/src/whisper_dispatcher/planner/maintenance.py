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
from whisper_dispatcher.jetstream.errors import QueueFull, QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.jobs.index import JobIndex, JobView
from whisper_dispatcher.planner.settings import PlannerSettings

log = structlog.get_logger()

SWEEP_EVERY_S = 6 * 3600.0
"""Longer than any upload takes."""


def is_orphan(view: JobView, planned: set[str], now: float, grace_s: float) -> bool:
    """Accepted, not final, and no plan message left that would ever bring it on."""
    return (
        view.record is not None and not view.is_final and view.job not in planned and now - waits_since(view) > grace_s
    )


def waits_since(view: JobView) -> float:
    """Unix seconds: accepted, or queued again after it had failed."""
    accepted_at = view.record.created_at if view.record else 0.0
    return max(accepted_at, view.state.at if view.state else 0.0)


def is_done_work(subject: str, view: JobView | None) -> bool:
    """A work message whose result is in the journal, or whose job was cancelled: no delivery of it would change a thing.

    Those of a failed job are left alone, since they may be of its requeue.
    """
    if view is None:
        return False
    if view.name in ("completed", "cancelled"):
        return True
    is_window = subject.startswith(names.WINDOWS_SUBJECTS.removesuffix(">"))
    return is_window and int(subject.rsplit(".", 1)[1]) in view.done


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
    _buried: set[int] = field(default_factory=set)
    """Sequences of the tombstones seen in the last round, and of those whose erasure is known to be finished."""
    _finished: set[int] = field(default_factory=set)
    _chunks: set[str] = field(default_factory=set)
    _strays: set[str] = field(default_factory=set)
    """Subjects of audio without a record, as the last sweep found them."""
    _stray_objects: set[objects.StoredObject] = field(default_factory=set)
    """The same of long audio."""
    _done_work: set[str] = field(default_factory=set)
    """Seen in the last round: a younger one is about to be acknowledged."""
    _swept_at: float = 0.0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self.settings.maintenance_every_s)
            await self.tend(time.time())

    async def tend(self, now: float) -> None:
        for part in (self._heal, self._drop_done_work, self._expire, self._erase, self._drop_left_audio, self._sweep):
            try:
                await part(now)
            except (QueueUnavailable, QueueFull) as error:
                log.warning("maintenance put off", part=part.__name__.strip("_"), reason=str(error))
            # One job that cannot be read must not end the care for all others.
            except Exception:
                log.exception("maintenance failed", part=part.__name__.strip("_"))

    async def _sweep(self, now: float) -> None:
        if now - self._swept_at > SWEEP_EVERY_S:
            # First: a sweep that fails halfway must not follow soon, when an upload of then is still under way.
            self._swept_at = now
            self._chunks = await objects.sweep_chunks(self.jetstream, names.AUDIO_BUCKET, self._chunks)
            self._strays = await self._sweep_strays()
            self._stray_objects = await self._sweep_stray_objects()

    async def _sweep_strays(self) -> set[str]:
        """Audio that a gateway stored before it died: no record followed, so nothing was promised."""
        subjects = await self.jetstream.subjects(names.JOURNAL_STREAM, names.AUDIO_SUBJECTS)
        owners = {subject: subject.split(".")[2:4] for subject in subjects}
        records = await self.jetstream.get_all_last(
            names.JOURNAL_STREAM, [names.record_subject(client, job) for client, job in owners.values()]
        )
        accepted = {stored.subject for stored in records}
        strays = {
            subject for subject, (client, job) in owners.items() if names.record_subject(client, job) not in accepted
        }
        for subject in strays & self._strays:
            log.warning("audio of an upload that was never accepted, dropped", job=owners[subject][1])
            await self.jetstream.purge(names.JOURNAL_STREAM, subject)
        return strays

    async def _sweep_stray_objects(self) -> set[objects.StoredObject]:
        found = await objects.listed(self.jetstream, names.AUDIO_BUCKET)
        records = await self.jetstream.subjects(names.JOURNAL_STREAM, names.record_subject("*", "*"))
        accepted = {names.parse_job_subject(subject).job for subject in records}
        strays = {upload for upload in found if upload.name not in accepted}
        for upload in strays & self._stray_objects:
            log.warning("audio of an upload that was never accepted, dropped", job=upload.name)
            await objects.remove(self.jetstream, names.AUDIO_BUCKET, upload)
        return strays

    async def _heal(self, now: float) -> None:
        subjects = await self.jetstream.subjects(names.PLAN_STREAM, names.PLAN_SUBJECTS)
        planned = {subject.rsplit(".", 1)[1] for subject in subjects} | self.held
        for view in self.index.active():
            if view.record and is_orphan(view, planned, now, self.settings.maintenance_every_s):
                log.warning("job had no plan message, queued again", job=view.job)
                await journal.queue_plan(self.jetstream, view.record, generation=view.generation, again=int(now))

    async def _drop_done_work(self, now: float) -> None:
        """A killed NATS may keep a message whose ack it has counted: never delivered again, and backlog for ever."""
        done: set[str] = set()
        for stream, subjects, job_token in (
            (names.PLAN_STREAM, names.PLAN_SUBJECTS, -1),
            (names.WINDOWS_STREAM, names.WINDOWS_SUBJECTS, -2),
        ):
            for subject in await self.jetstream.subjects(stream, subjects):
                job = subject.split(".")[job_token]
                if job in self.held or not is_done_work(subject, self.index.get(job)):
                    continue
                done.add(subject)
                if subject in self._done_work:
                    log.warning("work of a finished job was left in the queue, dropped", job=job, subject=subject)
                    await self.jetstream.purge(stream, subject)
        self._done_work = done

    async def _expire(self, now: float) -> None:
        for view in self.index.active():
            if view.record and now - waits_since(view) > self.settings.job_expiry_s:
                log.warning("job expired", job=view.job)
                await journal.fail(self.jetstream, view, FailureReason.EXPIRED, SENTENCES[FailureReason.EXPIRED])

    async def _erase(self, now: float) -> None:
        for view in self.index.jobs():
            if is_outlived(view.state, now, self.settings):
                await journal.erase(self.jetstream, view)
                log.info("erased", job=view.job)
        await self._erase_ghosts()
        await self._finish_erasures()

    async def _erase_ghosts(self) -> None:
        ghosts = self.index.ghosts()
        for view in ghosts:
            if view.job in self._ghosts:
                await journal.erase_ghost(self.jetstream, view)
        self._ghosts = {view.job for view in ghosts}

    async def _finish_erasures(self) -> None:
        """Of those who died in the middle: the record, which goes last, is still there after a whole round."""
        tombstones = {tombstone.sequence: tombstone for tombstone in self.index.tombstones()}
        due = [tombstones[sequence] for sequence in self._buried & tombstones.keys()]
        records = await self.jetstream.get_all_last(
            names.JOURNAL_STREAM, [names.record_subject(tombstone.client, tombstone.job) for tombstone in due]
        )
        left = {stored.subject: stored.sequence for stored in records}
        for tombstone in due:
            if left.get(names.record_subject(tombstone.client, tombstone.job), tombstone.sequence) < tombstone.sequence:
                log.warning("erasure was broken off, finished", job=tombstone.job)
                await journal.finish_erasure(self.jetstream, tombstone.client, tombstone.job, tombstone.sequence)
        self._finished = (self._finished | {tombstone.sequence for tombstone in due}) & tombstones.keys()
        self._buried = tombstones.keys() - self._finished

    async def _drop_left_audio(self, now: float) -> None:
        """Audio of finished jobs whose planner died before it could delete it. Dead letters keep theirs."""
        subjects = await self.jetstream.subjects(names.JOURNAL_STREAM, names.AUDIO_SUBJECTS)
        for subject in subjects:
            client, job = subject.split(".")[2:4]
            view = self.index.get(job)
            if view and view.state and view.is_final and view.state.state != "failed" and job not in self.held:
                await journal.delete_audio(self.jetstream, client, job)
