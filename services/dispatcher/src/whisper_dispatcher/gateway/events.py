"""A job's events: what its journal messages mean to somebody who watches. The id is the journal's sequence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from whisper_contracts import names
from whisper_contracts.messages import Attempt, JobState, Plan, WindowResult
from whisper_contracts.names import parse_job_subject
from whisper_dispatcher.gateway import sse
from whisper_dispatcher.gateway.gateway import Gateway
from whisper_dispatcher.gateway.transcripts import READ_AGAIN_S, READ_TRIES
from whisper_dispatcher.gateway.waiting import race
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream, Stored
from whisper_dispatcher.jobs.index import JobIndex, JobView
from whisper_dispatcher.transcript.merge import window_segments

Event = tuple[str, dict[str, Any]]

RECONNECT_MS = 1000
POSITION_S = 2.0
"""Between looks at the place in the queue, which other jobs change."""


class EventWriter:
    """Turns journal messages into events, each once, whatever order history and present overlap in."""

    def __init__(self, job: str, after: int, *, with_text: bool = False) -> None:
        """after: the Last-Event-ID; what came up to it is counted and not told again.

        with_text: a window's event has its segments.
        """
        self._job = job
        self._after = after
        self._with_text = with_text
        self._last_sequence = 0
        self._plan: Plan | None = None
        self._done: set[int] = set()
        self._attempts: dict[int, tuple[int, int]] = {}
        self.is_over = False

    def write(self, stored: Stored) -> str:
        """ "" when the message is no news."""
        if stored.sequence <= self._last_sequence:
            return ""
        self._last_sequence = stored.sequence
        event = self._event(stored)
        if event is None or stored.sequence <= self._after:
            return ""
        name, data = event
        body = json.dumps({"job": self._job} | data, ensure_ascii=False)
        return f"id: {stored.sequence}\nevent: {name}\ndata: {body}\n\n"

    def _event(self, stored: Stored) -> Event | None:
        subject = parse_job_subject(stored.subject)
        window = subject.window
        match subject.kind:
            case "record":
                return "accepted", {}
            case "plan":
                self._plan = Plan.decode(stored.data)
                return "planned", {"duration_s": self._plan.duration_s, "total": len(self._plan.windows)}
            case "window" if window is not None:
                self._done.add(window)
                return "window", self._window(window, stored.data)
            case "attempt" if window is not None:
                return self._attempt(window, Attempt.decode(stored.data))
            case "state":
                return self._state(JobState.decode(stored.data))
        return None

    def _window(self, index: int, result: bytes) -> dict[str, Any]:
        total = len(self._plan.windows) if self._plan else None
        told = {"window": index, "done": len(self._done), "total": total}
        if not self._with_text or not self._plan:
            return told
        segments = window_segments(WindowResult.decode(result), self._plan.windows[index])
        return told | {
            "segments": [
                {"start": segment.start_s, "end": segment.end_s, "text": segment.text.strip()} for segment in segments
            ]
        }

    def _attempt(self, window: int, attempt: Attempt) -> Event | None:
        """A failure, told once: its message comes again when a worker notes that it tries again."""
        failure = (attempt.generation, attempt.attempts)
        if not attempt.attempts or self._attempts.get(window) == failure:
            return None
        self._attempts[window] = failure
        told = attempt.model_dump(mode="json", include={"attempts", "reason", "message", "retry_at"})
        return "attempt", {"window": window} | told

    def _state(self, state: JobState) -> Event:
        self.is_over = state.state != "queued"
        name = "requeued" if state.state == "queued" else state.state
        return name, {"reason": state.reason, "message": state.message or None}


class QueuePlace:
    """How many jobs are before this one, told when it has changed; without an id, since it is no part of the story."""

    def __init__(self, index: JobIndex, view: JobView) -> None:
        self._index = index
        self._view = view
        self._told: int | None = None

    @property
    def is_waiting(self) -> bool:
        return not self._view.done and not self._view.is_final

    def write(self) -> str:
        """ "" when it is no news."""
        position = self._index.queue_position(self._view) if self.is_waiting else self._told
        if position == self._told:
            return ""
        self._told = position
        return f"event: queue\ndata: {json.dumps({'job': self._view.job, 'position': position})}\n\n"


async def job_events(
    gateway: Gateway, view: JobView, after: int, revoked: asyncio.Event, *, detail: bool = False
) -> AsyncIterator[str]:
    """Ends after the final state, when the client's key is revoked, and when this process is to end: the client comes
    back with its Last-Event-ID.

    detail: windows come with their text, and the place in the queue is told.
    """
    writer = EventWriter(view.job, after, with_text=detail)
    place = QueuePlace(gateway.index, view) if detail else None
    with gateway.feed.listen(view.job) as present:
        yield f"retry: {RECONNECT_MS}\n\n"
        for stored in await _history(gateway.jetstream, view):
            if text := writer.write(stored):
                yield text
        while not writer.is_over and not revoked.is_set():
            if present.empty():
                if place and (text := place.write()):
                    yield text
                limit_s = POSITION_S if place and place.is_waiting else gateway.settings.keep_alive_s
                first = await race(present.wait(), gateway.draining.wait(), revoked.wait(), limit_s=limit_s)
                if first in (1, 2):
                    return
                if first is None:
                    yield sse.KEEP_ALIVE
                    continue
            if text := writer.write(present.get()):
                yield text


async def _history(jetstream: JetStream, view: JobView) -> list[Stored]:
    """What is known of the job by now; what is not comes by. Read again where a replica of NATS is behind."""
    for _ in range(READ_TRIES):
        subjects, state_sequence = _known_subjects(view), view.state_sequence if view.state else 0
        horizon = view.last_sequence
        found = await jetstream.get_all_last(names.JOURNAL_STREAM, subjects)
        read = {stored.subject: stored.sequence for stored in found}
        has_state = read.get(names.state_subject(view.client, view.job), 0) >= state_sequence
        if (has_state and len(read) == len(subjects)) or view.name == "deleted":
            # What was written over meanwhile is newer than others that are still to come by.
            return sorted((s for s in found if s.sequence <= horizon), key=lambda stored: stored.sequence)
        await asyncio.sleep(READ_AGAIN_S)
    raise QueueUnavailable(f"the events of job {view.job} are not read whole yet")


def _known_subjects(view: JobView) -> list[str]:
    client, job = view.client, view.job
    return [
        names.record_subject(client, job),
        *([names.plan_result_subject(client, job)] if view.total is not None else []),
        *([names.state_subject(client, job)] if view.state else []),
        *(names.window_result_subject(view.model, client, job, index) for index in view.done),
        *(names.attempt_subject(view.model, client, job, index) for index in view.attempts),
    ]
