"""A job's server-sent events, followed through every break until the job is over."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from whisperfleet.client.errors import StillRunning
from whisperfleet.client.results import Event
from whisperfleet.client.retrying import Patience, problem_of
from whisperfleet.client.steps import Answer, Deliver, Lost, Procedure, Request, read_stream, send

SILENCE_S = 60.0
"""The gateway sends a comment at least every 15 s; a stream silent for so long is dead."""
SHORTEST_READ_S = 0.1
NO_CONTENT = 204


def follow(path: str, job: str, after: int, patience_s: float, deadline: float | None) -> Procedure[int]:
    """Delivers every event once, and returns the last one's id.

    deadline: of time.monotonic; raises StillRunning after it.
    """
    patience = Patience(patience_s)
    reader = EventReader(last_id=after)
    while True:
        request = Request(
            "GET",
            path,
            headers={"Accept": "text/event-stream", "Last-Event-ID": str(reader.last_id)},
            is_stream=True,
            read_timeout_s=_left_s(job, deadline),
        )
        reply = yield from send(request)
        if isinstance(reply, Answer) and reply.status == NO_CONTENT:
            return reader.last_id
        if isinstance(reply, Answer) and reply.is_success:
            if (yield from _read_events(reader, patience, job, deadline)):
                return reader.last_id
            reply = Lost(f"The events of job {job} broke off.")
        pause = patience.pause(problem_of(reply))
        yield replace(pause, delay_s=min(pause.delay_s, _left_s(job, deadline)))


def _read_events(reader: EventReader, patience: Patience, job: str, deadline: float | None) -> Procedure[bool]:
    """Whether the job is over."""
    reader.begin()
    while isinstance(data := (yield from read_stream()), bytes):
        patience.renew()
        for event in reader.read(data):
            yield Deliver(event)
            if event.is_final:
                return True
        _left_s(job, deadline)
    return False


def deadline_after(timeout_s: float | None) -> float | None:
    return None if timeout_s is None else time.monotonic() + timeout_s


def _left_s(job: str, deadline: float | None) -> float:
    """At most SILENCE_S. Raises StillRunning when it is over."""
    if deadline is None:
        return SILENCE_S
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise StillRunning(job)
    return max(SHORTEST_READ_S, min(SILENCE_S, left_s))


@dataclass(slots=True)
class EventReader:
    """Bytes to events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

    last_id: int = 0
    _unread: bytes = b""
    _fields: dict[str, str] = field(default_factory=dict)

    def begin(self) -> None:
        """A new stream: what the last one left half said is void."""
        self._unread, self._fields = b"", {}

    def read(self, data: bytes) -> Iterator[Event]:
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            if event := self._read_line(line.removesuffix(b"\r").decode()):
                yield event

    def _read_line(self, line: str) -> Event | None:
        """An event, with the empty line that ends it."""
        if line:
            name, _, value = line.partition(":")
            if name:  # a comment has none
                self._fields[name] = value.removeprefix(" ")
            return None
        found, self._fields = self._fields, {}
        if "data" not in found or not found.get("id", "").isdecimal():
            return None
        self.last_id = int(found["id"])
        return Event.model_validate(json.loads(found["data"]) | {"id": self.last_id, "type": found.get("event", "")})
