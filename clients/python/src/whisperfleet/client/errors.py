"""What can go wrong. The text of every exception is a sentence for people, the API's own where there is one.

Each can be made again from its `args`, as pickle and Celery's result backends do.
"""

from __future__ import annotations

from whisper_contracts.failures import RETRYABLE


class WhisperfleetError(Exception):
    """Everything that this client raises about the service."""


class GatewayUnreachable(WhisperfleetError):
    """No answer came, or it broke off."""


class ApiError(WhisperfleetError):
    """The gateway refused. `code` is for programs; the API's documentation lists them."""

    def __init__(
        self,
        message: str,
        status: int = 0,
        code: str = "",
        param: str | None = None,
        request_id: str = "",
        retry_after_s: float | None = None,
        should_retry: bool = True,
    ) -> None:
        super().__init__(message, status, code, param, request_id, retry_after_s, should_retry)
        self.message = message
        self.status = status
        self.code = code
        self.param = param
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.should_retry = should_retry
        """False: the gateway says that sending it again cannot help."""

    def __str__(self) -> str:
        return self.message


class InvalidRequest(ApiError):
    """Sending the same again cannot help: 400, 413, 422 and the like."""


class NotAllowed(ApiError):
    """The key is missing, wrong or may not do this: 401, 403."""


class NotFound(ApiError):
    """404."""


class Conflict(ApiError):
    """The job is in another state than this needs, or an Idempotency-Key had another upload: 409."""


class TooManyRequests(ApiError):
    """The queue or a quota is full for longer than the client's patience: 429."""


class ServiceUnavailable(ApiError):
    """5xx for longer than the client's patience."""


class StillRunning(WhisperfleetError):
    """The time limit of a wait is over. The job goes on; `wait` can be called again."""

    def __init__(self, job: str) -> None:
        super().__init__(job)
        self.job = job

    def __str__(self) -> str:
        return f"Job {self.job} is still under way. Wait for it again, or cancel it."


class JobFailed(WhisperfleetError):
    """The job ended without a transcript; `reason` is one of the API's list."""

    def __init__(self, job: str, reason: str, message: str) -> None:
        super().__init__(job, reason, message)
        self.job = job
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return self.message

    @property
    def is_transient(self) -> bool:
        """Whether requeuing the job may help."""
        return self.reason in RETRYABLE


class JobCancelled(JobFailed):
    """Somebody cancelled or deleted the job."""


def error_for(status: int) -> type[ApiError]:
    match status:
        case 401 | 403:
            return NotAllowed
        case 404:
            return NotFound
        case 409:
            return Conflict
        case 429:
            return TooManyRequests
        case _ if status >= 500:
            return ServiceUnavailable
    return InvalidRequest
