"""A job's events: what its journal messages mean to somebody who watches. The id is the journal's sequence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from whisper_contracts import names
from whisper_contracts.messages import Attempt, JobState, Plan
from whisper_contracts.names import parse_job_subject
from whisper_dispatcher.gateway import sse
from whisper_dispatcher.gateway.gateway import Gateway
from whisper_dispatcher.gateway.waiting import race
from whisper_dispatcher.jetstream.connection import JetStream, Stored
from whisper_dispatcher.jobs.index import JobView

Event = tuple[str, dict[str, Any]]

RECONNECT_MS = 1000


class EventWriter:
    """Turns journal messages into events, each once, whatever order history and present overlap in."""

    def __init__(self, job: str, total: int | None, after: int) -> None:
        """after: the Last-Event-ID; what came up to it is counted and not told again."""
        self._job = job
        self._after = after
        self._last_sequence = 0
        self._total = total
        self._done: set[int] = set()
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
        _, _, kind, index = parse_job_subject(stored.subject)
        match kind:
            case "record":
                return "accepted", {}
            case "plan":
                plan = Plan.decode(stored.data)
                self._total = len(plan.windows)
                return "planned", {"duration_s": plan.duration_s, "total": self._total}
            case "window" if index is not None:
                self._done.add(index)
                return "window", {"window": index, "done": len(self._done), "total": self._total}
            case "attempt" if index is not None:
                return "attempt", _attempt(index, Attempt.decode(stored.data))
            case "state":
                return self._state(JobState.decode(stored.data))
        return None

    def _state(self, state: JobState) -> Event:
        self.is_over = state.state != "queued"
        name = "requeued" if state.state == "queued" else state.state
        return name, {"reason": state.reason, "message": state.message or None}


def _attempt(window: int, attempt: Attempt) -> dict[str, Any]:
    return {"window": window} | attempt.model_dump(mode="json", include={"attempts", "reason", "message", "retry_at"})


async def job_events(gateway: Gateway, view: JobView, after: int, revoked: asyncio.Event) -> AsyncIterator[str]:
    """Ends after the final state, when the client's key is revoked, and when this process is to end: the client comes
    back with its Last-Event-ID."""
    writer = EventWriter(view.job, view.total, after)
    with gateway.feed.listen(view.job) as present:
        yield f"retry: {RECONNECT_MS}\n\n"
        for stored in await _history(gateway.jetstream, view):
            if text := writer.write(stored):
                yield text
        while not writer.is_over and not revoked.is_set():
            if present.empty():
                first = await race(
                    present.wait(), gateway.draining.wait(), revoked.wait(), limit_s=gateway.settings.keep_alive_s
                )
                if first in (1, 2):
                    return
                if first is None:
                    yield sse.KEEP_ALIVE
                    continue
            if text := writer.write(present.get()):
                yield text


async def _history(jetstream: JetStream, view: JobView) -> list[Stored]:
    client, job = view.client, view.job
    subjects = [
        names.record_subject(client, job),
        names.plan_result_subject(client, job),
        names.state_subject(client, job),
        *(names.window_result_subject(client, job, index) for index in view.done),
        *(names.attempt_subject(client, job, index) for index in view.attempts),
    ]
    found = await jetstream.get_all_last(names.JOURNAL_STREAM, subjects)
    return sorted(found, key=lambda stored: stored.sequence)
