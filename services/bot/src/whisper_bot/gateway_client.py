"""The gateway, through the Python client that everybody may use. What it raises becomes the bot's few cases.

The client's own patience is not used: a person is told of each wait, and a message's record is read anew after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path

from whisperfleet.client import (
    ApiError,
    AsyncClient,
    Conflict,
    GatewayUnreachable,
    Job,
    Options,
    StillRunning,
    WhisperfleetError,
)
from whisperfleet.client.results import Format

DEFAULT_RETRY_S = 2.0
MAY_PASS = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class GatewayAway(Exception):
    """The same call may succeed later."""

    def __init__(self, reason: str, retry_after_s: float = DEFAULT_RETRY_S) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(reason)


class UploadRefused(Exception):
    """The gateway will never take this file: `code` is its word for why."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class JobUnknown(Exception):
    """Expired, or erased."""


class KeyRefused(Exception):
    """The bot's own key is not accepted."""


class GatewayClient:
    """Every method raises GatewayAway or KeyRefused when the gateway cannot be asked."""

    def __init__(self, url: str, api_key: str) -> None:
        self._client = AsyncClient(url, api_key, patience_s=0)

    async def close(self) -> None:
        await self._client.aclose()

    async def submit(self, recording: Path, *, language: str | None, idempotency_key: str) -> str:
        """The job's id; the same key brings the same job. Raises UploadRefused."""
        options: Options = {"language": language} if language else {}
        try:
            with _own_cases():
                job = await self._client.submit(recording, idempotency_key=idempotency_key, **options)
        except ApiError as error:
            raise UploadRefused(error.code, str(error)) from error
        return job.id

    async def job(self, job: str) -> Job:
        """Raises JobUnknown."""
        with _known(job):
            return await self._client.job(job)

    async def result(self, job: str, form: Format) -> str:
        """Raises JobUnknown."""
        with _known(job):
            return (await self._client.result(job, form)).strip()

    async def requeue(self, job: str) -> None:
        """Nothing, when the job has not failed. Raises JobUnknown."""
        with _known(job), suppress(Conflict):
            await self._client.requeue(job)

    async def erase(self, job: str) -> None:
        """Whatever its state: one under way is cancelled first, a finished one is deleted."""
        with suppress(JobUnknown), _known(job):
            await self._client.delete(job)

    async def wait_final(self, job: str) -> None:
        """Returns at the job's final event, and when nothing more can be heard of it: look at the job then."""
        with suppress(WhisperfleetError):
            async for _ in self._client.events(job):
                pass


@contextmanager
def _own_cases() -> Iterator[None]:
    """An ApiError that is let through is the gateway's last word."""
    try:
        yield
    except (GatewayUnreachable, StillRunning) as error:
        raise GatewayAway(str(error)) from error
    except ApiError as error:
        if error.status == HTTPStatus.UNAUTHORIZED:
            raise KeyRefused(str(error)) from error
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR or (error.status in MAY_PASS and error.should_retry):
            raise GatewayAway(f"status {error.status}", error.retry_after_s or DEFAULT_RETRY_S) from error
        raise


@contextmanager
def _known(job: str) -> Iterator[None]:
    try:
        with _own_cases():
            yield
    except ApiError as error:
        raise JobUnknown(f"{job}: {error}") from error
