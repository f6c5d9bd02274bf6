"""A client of the gateway's HTTP API, blocking (`Client`) and asyncio (`AsyncClient`).

What the API needs is written once, in `calls`, as procedures that yield what is to be sent, read or waited for;
the two clients only carry that out.
"""

from whisperfleet.client.asynchronous import AsyncClient
from whisperfleet.client.blocking import Client
from whisperfleet.client.errors import (
    ApiError,
    Conflict,
    GatewayUnreachable,
    InvalidRequest,
    JobCancelled,
    JobFailed,
    NotAllowed,
    NotFound,
    ServiceUnavailable,
    StillRunning,
    TooManyRequests,
    WhisperfleetError,
)
from whisperfleet.client.results import DeadLetter, Event, Job, JobPage, Model, Segment, Transcript, Windows, Word
from whisperfleet.client.uploads import Audio, Options

__all__ = [
    "ApiError",
    "AsyncClient",
    "Audio",
    "Client",
    "Conflict",
    "DeadLetter",
    "Event",
    "GatewayUnreachable",
    "InvalidRequest",
    "Job",
    "JobCancelled",
    "JobFailed",
    "JobPage",
    "Model",
    "NotAllowed",
    "NotFound",
    "Options",
    "Segment",
    "ServiceUnavailable",
    "StillRunning",
    "TooManyRequests",
    "Transcript",
    "WhisperfleetError",
    "Windows",
    "Word",
]
