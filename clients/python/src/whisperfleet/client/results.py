"""What the API answers, typed. Unknown fields of a newer gateway are ignored."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from whisper_contracts.messages import FINAL

Format = Literal["json", "text", "srt", "vtt", "verbose_json"]


class Result(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class Windows(Result):
    """Pieces of at most 30 s. `total` is None until the recording is planned."""

    done: int = 0
    total: int | None = None


class Job(Result):
    id: str
    state: str
    """queued, running, completed, failed, cancelled or deleted."""
    class_: str | None = Field(None, alias="class")
    model: str | None = None
    language: str | None = None
    filename: str | None = None
    size_bytes: int | None = None
    created_at: float | None = None
    """Unix seconds."""
    finished_at: float | None = None
    queue_position: int | None = None
    """Jobs that are before it."""
    windows: Windows = Windows()
    attempts: int = 0
    duration_s: float | None = None
    reason: str | None = None
    message: str | None = None

    @property
    def is_final(self) -> bool:
        return self.state in FINAL


class JobPage(Result):
    data: tuple[Job, ...]
    has_more: bool = False


class Event(Result):
    """Something that happened to a job. What an event does not tell is None."""

    id: int
    """Grows; `events(job, after=id)` goes on behind it."""
    type: str
    """accepted, planned, window, attempt, requeued, completed, failed or cancelled."""
    job: str = ""
    done: int | None = None
    """Windows that have their text."""
    total: int | None = None
    window: int | None = None
    duration_s: float | None = None
    attempts: int | None = None
    reason: str | None = None
    message: str | None = None
    retry_at: float | None = None

    @property
    def is_final(self) -> bool:
        return self.type in FINAL


class Word(Result):
    word: str
    start_s: float = Field(alias="start")
    end_s: float = Field(alias="end")


class Segment(Result):
    """Times are seconds from the start of the recording."""

    start_s: float = Field(alias="start")
    end_s: float = Field(alias="end")
    text: str
    avg_logprob: float = 0.0
    no_speech_prob: float = 0.0


class Transcript(Result):
    job: str = ""
    text: str
    language: str = ""
    """Its English name, as in `english`."""
    duration_s: float = Field(0.0, alias="duration")
    segments: tuple[Segment, ...] = ()
    words: tuple[Word, ...] = ()
    """Filled for jobs submitted with `words=True`."""


class Model(Result):
    id: str
    created: float = 0.0


class ModelList(Result):
    data: tuple[Model, ...]


class DeadLetter(Result):
    """A job that failed for good; its audio is kept so that it can be requeued."""

    job: str
    client: str
    reason: str
    message: str
    window: int | None = None
    attempts: int = 0
    at: float
    generation: int = 0
    filename: str | None = None
    duration_s: float | None = None


class DeadLetterPage(Result):
    data: tuple[DeadLetter, ...]
    has_more: bool = False
