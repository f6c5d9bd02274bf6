"""What a procedure asks its client to do, and what it is told."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from whisperfleet.client.errors import WhisperfleetError
from whisperfleet.client.results import Event
from whisperfleet.client.uploads import Upload

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """Answered by Answer or Lost. As a stream, a successful Answer has no body: ReadStream gets it piece by piece."""

    method: str
    path: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    upload: Upload | None = None
    is_stream: bool = False
    read_timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class ReadStream:
    """Answered by the next bytes of the stream opened last, None at its end, or Lost."""


@dataclass(frozen=True, slots=True)
class Pause:
    delay_s: float
    because: WhisperfleetError


@dataclass(frozen=True, slots=True)
class Deliver:
    event: Event


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """Names in small letters."""
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer: nothing is there, or the connection broke."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    value: T


Step = Request | ReadStream | Pause | Deliver
Reply = Answer | Lost | bytes | None
Procedure = Generator[Step, Reply, T]


def send(request: Request) -> Procedure[Answer | Lost]:
    reply = yield request
    assert isinstance(reply, (Answer, Lost))
    return reply


def read_stream() -> Procedure[bytes | Lost | None]:
    reply = yield ReadStream()
    assert not isinstance(reply, Answer)
    return reply
