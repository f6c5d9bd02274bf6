"""The gateway's HTTP API, as the bot uses it. httpx's exceptions stop here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
UPLOAD_TIMEOUT = httpx.Timeout(300.0, connect=5.0)
EVENTS_TIMEOUT = httpx.Timeout(45.0, connect=5.0)
"""The gateway sends a comment every 15 s."""
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20)
DEFAULT_RETRY_S = 2.0
FINAL_EVENTS = ("completed", "failed", "cancelled", "deleted")


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


class Windows(BaseModel):
    done: int = 0
    total: int | None = None


class Job(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    state: str
    queue_position: int = 0
    windows: Windows = Windows()
    reason: str | None = None

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_EVENTS


@dataclass(frozen=True, slots=True)
class Upload:
    path: Path
    file_name: str
    language: str | None
    idempotency_key: str


class GatewayClient:
    """Every method raises GatewayAway or KeyRefused when the gateway cannot be asked."""

    def __init__(self, url: str, api_key: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers={"X-API-Key": api_key}, timeout=TIMEOUT, limits=LIMITS)

    async def close(self) -> None:
        await self._http.aclose()

    async def submit(self, upload: Upload) -> str:
        """The job's id; the same key brings the same job. Raises UploadRefused."""
        fields = {"language": upload.language} if upload.language else {}
        with upload.path.open("rb") as file:
            answer = await self._ask(
                "POST",
                "/v1/jobs",
                files={"file": (upload.file_name, file)},
                data=fields,
                headers={"Idempotency-Key": upload.idempotency_key},
                timeout=UPLOAD_TIMEOUT,
            )
        _raise_refusal(answer)
        return str(answer.json()["job"]["id"])

    async def job(self, job: str) -> Job:
        """Raises JobUnknown."""
        return Job.model_validate(self._found(await self._ask("GET", f"/v1/jobs/{job}"), job).json())

    async def result(self, job: str, form: str) -> str:
        """form: text, srt, … Raises JobUnknown."""
        answer = await self._ask("GET", f"/v1/jobs/{job}/result", params={"format": form})
        return self._found(answer, job).text.strip()

    async def requeue(self, job: str) -> None:
        """Nothing, when the job has not failed. Raises JobUnknown."""
        answer = await self._ask("POST", f"/v1/jobs/{job}/requeue")
        if answer.status_code != httpx.codes.CONFLICT:
            self._found(answer, job)

    async def erase(self, job: str) -> None:
        """Whatever its state: one under way is cancelled first, a finished one is deleted."""
        for _ in range(2):
            answer = await self._ask("DELETE", f"/v1/jobs/{job}")
            if answer.status_code in (httpx.codes.NO_CONTENT, httpx.codes.NOT_FOUND):
                return

    async def wait_final(self, job: str) -> None:
        """Returns at the job's final event, and when the stream of events ends: look at the job then."""
        async for name in self._events(job):
            if name in FINAL_EVENTS:
                return

    async def _events(self, job: str) -> AsyncIterator[str]:
        try:
            async with self._http.stream("GET", f"/v1/jobs/{job}/events", timeout=EVENTS_TIMEOUT) as response:
                if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                    raise GatewayAway(f"status {response.status_code}")
                async for line in response.aiter_lines():
                    if line.startswith("event: "):
                        yield line.removeprefix("event: ")
        except httpx.TransportError as error:
            raise GatewayAway(type(error).__name__) from error

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise GatewayAway(type(error).__name__) from error
        status = answer.status_code
        if status == httpx.codes.UNAUTHORIZED:
            raise KeyRefused(_error(answer)["message"])
        may_pass = status == httpx.codes.TOO_MANY_REQUESTS and answer.headers.get("x-should-retry") != "false"
        if may_pass or status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise GatewayAway(f"status {status}", _retry_after_s(answer))
        return answer

    def _found(self, answer: httpx.Response, job: str) -> httpx.Response:
        if answer.status_code >= httpx.codes.BAD_REQUEST:
            raise JobUnknown(f"{job}: {_error(answer)['message']}")
        return answer


def _raise_refusal(answer: httpx.Response) -> None:
    if answer.status_code >= httpx.codes.BAD_REQUEST:
        error = _error(answer)
        raise UploadRefused(error["code"] or "", error["message"])


def _error(answer: httpx.Response) -> dict[str, str]:
    try:
        error = answer.json()["error"]
        return {"code": str(error.get("code") or ""), "message": str(error["message"])}
    except (json.JSONDecodeError, KeyError, TypeError):
        return {"code": "", "message": f"status {answer.status_code}"}


def _retry_after_s(answer: httpx.Response) -> float:
    value = answer.headers.get("retry-after", "")
    return float(value) if value.replace(".", "", 1).isdigit() else DEFAULT_RETRY_S
