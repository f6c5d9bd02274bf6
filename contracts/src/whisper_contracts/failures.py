"""The closed list of reasons a job can fail for, each with a sentence its user can act on."""

from __future__ import annotations

from enum import StrEnum


class FailureReason(StrEnum):
    BAD_AUDIO = "bad_audio"
    TOO_LARGE = "too_large"
    TOO_LONG = "too_long"
    NO_AUDIO_STREAM = "no_audio_stream"
    UNSUPPORTED_LANGUAGE = "unsupported_language"
    SERVER_UNAVAILABLE = "server_unavailable"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    INTERNAL = "internal"


RETRYABLE = frozenset(
    {
        FailureReason.SERVER_UNAVAILABLE,
        FailureReason.SERVER_ERROR,
        FailureReason.TIMEOUT,
        FailureReason.INTERNAL,
    }
)

SENTENCES: dict[FailureReason, str] = {
    FailureReason.BAD_AUDIO: "The file could not be read as audio. Check that it plays, or convert it and send it again.",
    FailureReason.TOO_LARGE: "The file is larger than this service accepts. Compress it or split it and send the parts.",
    FailureReason.TOO_LONG: "The recording is longer than this service accepts. Split it and send the parts.",
    FailureReason.NO_AUDIO_STREAM: "The file has no sound track. Send one that has audio in it.",
    FailureReason.UNSUPPORTED_LANGUAGE: "The model does not speak this language. Leave the language out or choose another model.",
    FailureReason.SERVER_UNAVAILABLE: "No speech server could be reached for this job. Requeue it when the servers are back.",
    FailureReason.SERVER_ERROR: "The speech server failed on this audio several times. Requeue it, or try another model.",
    FailureReason.TIMEOUT: "The speech server took too long for this audio several times. Requeue it when the load is lower.",
    FailureReason.CANCELLED: "The job was cancelled at its owner's request.",
    FailureReason.EXPIRED: "The job waited longer than this service keeps jobs. Send the file again.",
    FailureReason.INTERNAL: "Something failed inside the service. Requeue the job; if it fails again, tell the operator its id.",
}
"""What a user reads when nothing more exact is known. A test holds this complete."""


class JobFailed(Exception):
    """A job, or one window of it, cannot go on.

    `message` is shown to the client as it is: a sentence that says what happened and what to do.
    """

    def __init__(self, reason: FailureReason, message: str | None = None) -> None:
        self.reason = reason
        self.message = message or SENTENCES[reason]
        super().__init__(f"{reason}: {self.message}")
