"""The journal, read into memory: what every process knows of every job.

A projection and nothing else: it can be thrown away and read again. Bodies of results are not kept.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from whisper_contracts.messages import FINAL, Attempt, JobRecord, JobState, Plan, WindowFailure
from whisper_contracts.names import CLASSES, Class, JobSubject, parse_job_subject
from whisper_dispatcher.jetstream.streams import Stored

TOMBSTONE_TTL_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of an erased job. Its id may come again when an Idempotency-Key made it."""

    client: str
    job: str
    sequence: int
    at: float


@dataclass(slots=True)
class Written:
    """What one queue's workers have written of a job's windows."""

    done: set[int] = field(default_factory=set)
    attempts: dict[int, int] = field(default_factory=dict)
    """Failed attempts by window."""
    failure: WindowFailure | None = None


@dataclass(slots=True)
class JobView:
    client: str
    job: str
    record: JobRecord | None = None
    record_sequence: int = 0
    duration_s: float | None = None
    total: int | None = None
    """Windows of the plan; None until it is planned."""
    by_model: dict[str, Written] = field(default_factory=dict)
    """NATS lets a worker name any job, but no other model than its own."""
    state: JobState | None = None
    state_sequence: int = 0
    last_sequence: int = 0

    @property
    def model(self) -> str:
        """Whose workers count; empty until the record is known, for then nobody's do."""
        return self.record.options.model if self.record else ""

    @property
    def written(self) -> Written:
        return self.by_model.setdefault(self.model, Written())

    @property
    def done(self) -> set[int]:
        return self.written.done

    @property
    def attempts(self) -> dict[int, int]:
        return self.written.attempts

    @property
    def failure(self) -> WindowFailure | None:
        return self.written.failure

    def heeds(self, subject: JobSubject) -> bool:
        return subject.window is None or subject.model == self.model

    @property
    def generation(self) -> int:
        return self.state.generation if self.state else 0

    @property
    def is_final(self) -> bool:
        return self.state is not None and self.state.state in FINAL

    @property
    def is_complete(self) -> bool:
        """Every window's result is in the journal."""
        return self.total is not None and len(self.done) >= self.total

    @property
    def has_text(self) -> bool:
        """Completed, or about to be: whoever waits is answered once every window's result is in the journal."""
        return self.name == "completed" or (self.is_complete and not self.is_final)

    @property
    def name(self) -> str:
        """The state a client sees."""
        if self.state and self.is_final:
            return self.state.state
        return "queued" if self.total is None else "running"


class JobIndex:
    def __init__(self) -> None:
        self._jobs: dict[str, JobView] = {}
        self._active: dict[str, set[str]] = {}
        self._queues: dict[Class, list[int]] = {class_: [] for class_ in CLASSES}
        """Record sequences of the active jobs, ascending."""
        self._audio_seconds: dict[tuple[str, str], float] = {}
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._tombstones: dict[str, Tombstone] = {}

    def apply(self, stored: Stored) -> None:
        """Take in one message of `whisper.jobs.>`; older than what is known is ignored."""
        client, job, kind, model, window = parse_job_subject(stored.subject)
        view = self._jobs.get(job)
        if view is None:
            tombstone = self._tombstones.pop(job, None)
            view = self._jobs[job] = JobView(client, job, state_sequence=tombstone.sequence if tombstone else 0)
            self._active.setdefault(client, set()).add(job)
        match kind:
            case "record":
                self._apply_record(view, JobRecord.decode(stored.data), stored.sequence)
            case "plan":
                self._apply_plan(view, Plan.decode(stored.data))
            case "state":
                self._apply_state(view, JobState.decode(stored.data), stored.sequence)
            case "window" | "attempt" | "failure" if window is not None:
                _apply_written(view.by_model.setdefault(model, Written()), kind, window, stored.data)
        view.last_sequence = max(view.last_sequence, stored.sequence)
        self._notify(job)

    def _apply_record(self, view: JobView, record: JobRecord, sequence: int) -> None:
        self._queue(view, is_active=False)
        view.record, view.record_sequence = record, sequence
        self._queue(view, is_active=not view.is_final)

    def _apply_plan(self, view: JobView, plan: Plan) -> None:
        if view.total is None:
            day = _day(view.record.created_at) if view.record else ""
            key = (view.client, day)
            self._audio_seconds[key] = self._audio_seconds.get(key, 0.0) + plan.duration_s
        view.duration_s, view.total = plan.duration_s, len(plan.windows)

    def _apply_state(self, view: JobView, state: JobState, sequence: int) -> None:
        view.state, view.state_sequence = state, sequence
        active = self._active.setdefault(view.client, set())
        if state.state == "deleted":
            self._jobs.pop(view.job, None)
            self._bury(Tombstone(view.client, view.job, sequence, state.at))
        if view.is_final:
            active.discard(view.job)
        else:
            active.add(view.job)
            view.attempts.clear()
        self._queue(view, is_active=not view.is_final)

    def _queue(self, view: JobView, *, is_active: bool) -> None:
        if view.record is None:
            return
        queue = self._queues[view.record.class_]
        place = bisect_left(queue, view.record_sequence)
        is_known = queue[place : place + 1] == [view.record_sequence]
        if is_active and not is_known:
            queue.insert(place, view.record_sequence)
        elif is_known and not is_active:
            del queue[place]

    def _bury(self, tombstone: Tombstone) -> None:
        """Those that have expired in the journal too are dropped here; the oldest come first."""
        self._tombstones[tombstone.job] = tombstone
        for old in list(self._tombstones.values()):
            if old.at > tombstone.at - TOMBSTONE_TTL_S:
                break
            del self._tombstones[old.job]

    def _notify(self, job: str) -> None:
        for event in self._watchers.get(job, ()):
            event.set()

    def get(self, job: str, client: str | None = None) -> JobView | None:
        """client: only if it is this client's."""
        view = self._jobs.get(job)
        return view if view and (client is None or view.client == client) else None

    def is_erased(self, job: str) -> bool:
        return job in self._tombstones

    def tombstones(self) -> list[Tombstone]:
        return list(self._tombstones.values())

    def jobs(self, client: str | None = None) -> list[JobView]:
        """Newest first."""
        views = [v for v in self._jobs.values() if v.record and (client is None or v.client == client)]
        return sorted(views, key=lambda view: view.record_sequence, reverse=True)

    def active(self, client: str | None = None) -> list[JobView]:
        """Neither completed, failed nor cancelled."""
        clients = self._active if client is None else [client]
        views = (self._jobs.get(job) for name in clients for job in self._active.get(name, ()))
        return [view for view in views if view and view.record]

    def ghosts(self) -> list[JobView]:
        """Jobs without a record: a result that came after its job was erased, or a record under way."""
        return [view for view in self._jobs.values() if view.record is None]

    def active_count(self, client: str | None = None) -> int:
        """How many `active` would list, without walking through them."""
        if client is not None:
            return len(self._active.get(client, ()))
        return sum(len(jobs) for jobs in self._active.values())

    def audio_seconds_on(self, client: str, at: float) -> float:
        """Audio planned for the client on the UTC day of `at`."""
        return self._audio_seconds.get((client, _day(at)), 0.0)

    def queue_position(self, view: JobView) -> int:
        """How many jobs of its class were accepted before it and are not final; 0 = it is next or running."""
        if view.is_final or view.record is None:
            return 0
        return bisect_left(self._queues[view.record.class_], view.record_sequence)

    @contextmanager
    def watch(self, job: str) -> Iterator[asyncio.Event]:
        """The event is set at every change of the job; clear it before looking."""
        event = asyncio.Event()
        self._watchers.setdefault(job, set()).add(event)
        try:
            yield event
        finally:
            self._watchers[job].discard(event)
            if not self._watchers[job]:
                del self._watchers[job]

    async def wait_record(self, job: str, timeout_s: float) -> JobView | None:
        """The job once its record is known here: a work message may arrive a moment before its record."""
        return await self._wait(job, timeout_s, lambda view: view.record is not None)

    async def wait_final(self, job: str, timeout_s: float) -> JobView | None:
        """The job once it is final, else None after the limit."""
        return await self._wait(job, timeout_s, lambda view: view.is_final)

    async def wait_ended(self, job: str, generation: int, timeout_s: float) -> JobView | None:
        """The job once this generation of it is final or another has followed, else None after the limit."""
        return await self._wait(job, timeout_s, lambda view: (view.generation, view.is_final) >= (generation, True))

    async def _wait(self, job: str, timeout_s: float, holds: Callable[[JobView], bool]) -> JobView | None:
        with self.watch(job) as changed:
            try:
                async with asyncio.timeout(timeout_s):
                    while True:
                        changed.clear()
                        view = self._jobs.get(job)
                        if view and holds(view):
                            return view
                        await changed.wait()
            except TimeoutError:
                return None


def _apply_written(written: Written, kind: str, window: int, data: bytes) -> None:
    match kind:
        case "window":
            written.done.add(window)
        case "attempt":
            written.attempts[window] = Attempt.decode(data).attempts
        case "failure":
            written.failure = WindowFailure.decode(data)


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()
