"""Every error the API answers: one shape, a sentence, and whether sending it again can help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from whisper_contracts.failures import SENTENCES, FailureReason
from whisper_dispatcher.gateway.lingering import LingeringResponse
from whisper_dispatcher.jetstream.errors import QueueFull, QueueUnavailable
from whisper_dispatcher.jobs.index import JobView

QUEUE_FULL_RETRY_S = 10
UNAVAILABLE_RETRY_S = 2
CLIENT_CLOSED_REQUEST = 499

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}

FAILURE_STATUS: dict[FailureReason, int] = {
    FailureReason.BAD_AUDIO: 400,
    FailureReason.NO_AUDIO_STREAM: 400,
    FailureReason.UNSUPPORTED_LANGUAGE: 400,
    FailureReason.TOO_LARGE: 413,
    FailureReason.TOO_LONG: 422,
    FailureReason.SERVER_UNAVAILABLE: 503,
    FailureReason.SERVER_ERROR: 503,
    FailureReason.TIMEOUT: 504,
    FailureReason.CANCELLED: 409,
    FailureReason.EXPIRED: 410,
    FailureReason.INTERNAL: 500,
}


class ApiError(Exception):
    """retry: what `x-should-retry` says; None leaves it to the client's own rule for the status."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        retry: bool | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers = dict(headers or {})
        if retry is not None:
            self.headers["x-should-retry"] = "true" if retry else "false"

    def body(self) -> dict[str, Any]:
        kind = TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body(), self.status, self.headers)


def bad_request(message: str, *, code: str, param: str | None = None) -> ApiError:
    return ApiError(400, message, code=code, param=param, retry=False)


def bad_key(problem: str) -> ApiError:
    return ApiError(
        401,
        f"{problem}. Send a valid one as 'X-API-Key: KEY' or 'Authorization: Bearer KEY'.",
        code="invalid_api_key",
        retry=False,
        headers={"WWW-Authenticate": "Bearer"},
    )


def job_not_found(job: str) -> ApiError:
    return ApiError(
        404,
        f"There is no job {job!r} of this API key. It may have been deleted or have expired.",
        code="job_not_found",
        param="job",
        retry=False,
    )


def job_failed(view: JobView) -> ApiError:
    """The answer for a job that ended without a transcript."""
    if view.name == "deleted":
        return job_not_found(view.job)
    reason = (view.state.reason if view.state else None) or FailureReason.INTERNAL
    message = (view.state.message if view.state else "") or SENTENCES[reason]
    param = {FailureReason.UNSUPPORTED_LANGUAGE: "language"}.get(reason, "file")
    status = FAILURE_STATUS[reason]
    # The service has tried as often as helps; another upload of the same audio would only do it all again.
    return ApiError(
        status,
        message,
        code=str(reason),
        param=param if status < 500 else None,
        retry=False,
        headers={"x-job-id": view.job},
    )


def unavailable(
    message: str = "The queue cannot be reached right now. Send the request again in a moment.",
) -> ApiError:
    headers = {"Retry-After": str(UNAVAILABLE_RETRY_S)}
    return ApiError(503, message, code="queue_unavailable", retry=True, headers=headers)


def queue_full() -> ApiError:
    return ApiError(
        429,
        "The queue is full and nothing was accepted. Send the file again after the seconds in Retry-After.",
        code="queue_full",
        retry=True,
        headers={"Retry-After": str(QUEUE_FULL_RETRY_S)},
    )


def install(app: FastAPI) -> None:
    app.add_exception_handler(ApiError, _on_error)
    app.add_exception_handler(QueueFull, _on_error)
    app.add_exception_handler(QueueUnavailable, _on_error)
    app.add_exception_handler(RequestValidationError, _on_error)
    app.add_exception_handler(HTTPException, _on_error)
    app.add_exception_handler(Exception, _on_error)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)


async def _on_disconnect(_: Request, __: Exception) -> Response:
    """Nobody reads it; the status is for the metrics."""
    return Response(status_code=CLIENT_CLOSED_REQUEST)


async def _on_error(request: Request, error: Exception) -> JSONResponse:
    problem = as_api_error(error, request)
    if _has_unread_body(request):
        return LingeringResponse(problem.body(), problem.status, problem.headers)
    return problem.response()


def as_api_error(error: Exception, request: Request) -> ApiError:
    match error:
        case ApiError():
            return error
        case QueueFull():
            return queue_full()
        case QueueUnavailable():
            return unavailable()
        case RequestValidationError():
            problem = error.errors()[0]
            name = str(problem["loc"][-1])
            return bad_request(f"{name}: {problem['msg']}.", code="invalid_parameter", param=name)
        case HTTPException(status_code=404):
            message = f"There is nothing at {request.url.path}. The API is described at /docs."
            return ApiError(404, message, code="not_found", retry=False)
        case HTTPException(status_code=405):
            message = f"{request.url.path} does not take {request.method}. The API is described at /docs."
            return ApiError(405, message, code="method_not_allowed", retry=False, headers=error.headers)
        case HTTPException():
            return ApiError(error.status_code, str(error.detail), code="http_error", headers=error.headers)
    return internal_error()


def internal_error() -> ApiError:
    return ApiError(
        500,
        "Something failed inside the service. Send the request again; if it fails again, tell the operator the x-request-id of this answer.",
        code="internal",
    )


def _has_unread_body(request: Request) -> bool:
    if request.scope.get("whisper.body_read"):
        return False
    return request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
