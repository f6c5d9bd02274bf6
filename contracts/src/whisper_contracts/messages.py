"""Every body that crosses a process boundary.

Readers ignore unknown fields and every message names its version, so that processes one version apart
understand each other during a rolling upgrade. A new field needs a default.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from whisper_contracts.failures import FailureReason
from whisper_contracts.names import Class

MAX_WINDOW_S = 30.0
MAX_INLINE_AUDIO_BYTES = 512 * 1024
"""Up to here an upload travels inside a journal message; above, in the object store."""


class Message(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    version: int = 1

    def encode(self) -> bytes:
        return self.model_dump_json(by_alias=True).encode()

    @classmethod
    def decode(cls, data: bytes | str) -> Self:
        return cls.model_validate_json(data)


class TranscribeOptions(Message):
    """What the client asked for, after validation. Part of the upload's identity: the same file with other
    options is another job."""

    model: str
    """Canonical model name, aliases already resolved."""
    language: str | None = None
    """ISO-639-1; None = detect, or the model's only language."""
    task: Literal["transcribe", "translate"] = "transcribe"
    prompt: str = ""
    temperature: float = 0.0
    words: bool = False
    """Word timestamps wanted."""
    mode: Literal["parallel", "sequential"] = "parallel"


class JobRecord(Message):
    """Journal `record`, written once: the job was accepted."""

    job: str
    client: str
    class_: Class = Field(alias="class")
    options: TranscribeOptions
    created_at: float
    """Unix seconds."""
    filename: str = ""
    size_bytes: int
    sha256: str
    audio_object: str | None = None
    """Name in the object store; None = the audio is the journal message `audio_subject`."""
    callback_url: str | None = None
    traceparent: str = ""


class PlanTask(Message):
    """Body of a plan work message. The record is read from the journal."""

    job: str
    client: str
    generation: int = 0
    """How often the job has been requeued by hand; part of the message id."""
    traceparent: str = ""


class WindowSpan(Message):
    """One window of a plan, in seconds of the decoded recording."""

    start_s: float
    end_s: float


class Plan(Message):
    """Journal `plan`, written once: a planner that finds one uses it and never cuts again."""

    duration_s: float
    windows: tuple[WindowSpan, ...]
    class_: Class = Field(alias="class")
    """Class of the windows, decided by the duration; the job's own class is the gateway's guess by size."""


class WindowTask(Message):
    """Header `Whisper-Window` of a window work message; its payload is raw s16le PCM (≤ 960 kB)."""

    job: str
    client: str
    index: int
    total: int
    start_s: float
    end_s: float
    options: TranscribeOptions
    generation: int = 0
    prompt: str = ""
    """Replaces options.prompt in sequential mode: the tail of the window before."""
    traceparent: str = ""


class Word(Message):
    word: str
    start_s: float
    end_s: float
    probability: float = 0.0


class Segment(Message):
    """Times are seconds from the start of the recording, not of the window."""

    start_s: float
    end_s: float
    text: str
    tokens: tuple[int, ...] = ()
    temperature: float = 0.0
    avg_logprob: float = 0.0
    no_speech_prob: float = 0.0
    words: tuple[Word, ...] = ()


class WindowResult(Message):
    """Journal `window.<model>.<n>`, written once."""

    index: int
    language: str = ""
    """ISO-639-1 as the server used or detected it."""
    segments: tuple[Segment, ...] = ()
    inference_s: float = 0.0


class Attempt(Message):
    """Journal `attempt.<model>.<n>`: window n failed and is tried again, later or now. The last one counts."""

    generation: int
    attempts: int
    """Failures; 0 where only `begun` has something to tell, and `reason` nothing."""
    reason: FailureReason
    message: str = ""
    retry_at: float
    begun: int = 0
    """Inferences that were begun without a word of their end yet: each worker may have died of it."""


class WindowFailure(Message):
    """Journal `failure.<model>.<n>`: the worker gave up on window n; the planner ends the job."""

    generation: int
    index: int
    attempts: int
    reason: FailureReason
    message: str


State = Literal["queued", "completed", "failed", "cancelled", "deleted"]
"""`deleted` is the tombstone left when a job's data is purged, so that every process forgets the job."""

FINAL: frozenset[State] = frozenset({"completed", "failed", "cancelled", "deleted"})


class JobState(Message):
    """Journal `state`, compare-and-set on the sequence of the one before (0 = none yet).

    A job with a record and no state is queued; `queued` is written by a requeue alone.
    """

    state: State
    at: float
    generation: int = 0
    reason: FailureReason | None = None
    message: str = ""


class DeadLetter(Message):
    """`whisper.dead.<client>.<job>`: kept until requeued or purged; its audio is kept with it."""

    job: str
    client: str
    reason: FailureReason
    message: str
    window: int | None = None
    attempts: int = 0
    at: float
    generation: int = 0


HEARTBEAT_S = 3.0


Duration = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class ServerWork(Message):
    """The window in a whisper-server: whose it is, nothing of what is said in it."""

    job: str
    window: int
    busy_s: Duration


class ServerStatus(Message):
    """One whisper-server of a worker, as it is now."""

    doing: str
    """`busy`, `idle`, or what keeps it from work, for people: `reading the model`, `down` …"""
    device: str = ""
    """As ggml names it: CPU, CUDA0 …"""
    restarts: int = 0
    work: ServerWork | None = None


class WorkerStatus(Message):
    """`whisper.workers.<model>.<worker>`, each HEARTBEAT_S: a worker and its servers. Durations, since clocks differ."""

    worker: str
    model: str
    software: str = ""
    """Version of the worker."""
    uptime_s: Duration
    draining: bool = False
    servers: tuple[ServerStatus, ...] = ()


class HookTask(Message):
    """Body of a webhook work message."""

    job: str
    client: str
    url: str
    generation: int = 0
    created_at: float = 0.0
    """Of the job's record, since an Idempotency-Key may make the same job id again."""

    @property
    def id(self) -> str:
        """The same at each try, and of no other webhook."""
        return f"{self.job}-{round(self.created_at * 1000)}-{self.generation}"


SECRET_PREFIX = "whsec_"  # noqa: S105  a prefix, no secret


class ClientRecord(Message):
    """KV `clients`, key = sha256 of the API key in hex. The key itself is stored nowhere."""

    client: str
    """Short id, a subject token; what every subject of the client's jobs carries."""
    name: str
    created_at: float = 0.0
    requests_per_minute: int | None = None
    jobs_in_flight: int | None = None
    audio_seconds_per_day: float | None = None
    models: tuple[str, ...] | None = None
    """Canonical names; None = all."""
    operator: bool = False
    """May read the fleet view and dead letters of every client."""
    webhook_secret: str = ""
    """`whsec_` and the key in base64, as Standard Webhooks has it. Empty = the webhooks' signature is worth nothing."""
    owner: str = ""
    """The WhisperClient that it is of: an operator takes away those records alone."""


class ModelRecord(Message):
    """KV `models`, key = token(canonical name). Written by `whisperfleet up` or the operator."""

    name: str
    aliases: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    """ISO-639-1; empty = every Whisper language."""
    default: bool = False
    created_at: float = 0.0
    owner: str = ""
    """Who wrote it: an operator takes away its own records alone."""
