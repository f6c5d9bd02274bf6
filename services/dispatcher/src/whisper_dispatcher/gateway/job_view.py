"""A job as the API shows it."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from whisper_contracts import names
from whisper_dispatcher.gateway.errors import ApiError, job_not_found
from whisper_dispatcher.gateway.gateway import Gateway
from whisper_dispatcher.jobs.index import JobView

INDEX_WAIT_S = 2.0
"""A job just accepted comes back through the journal in a moment."""


def job_url(job: str) -> str:
    return f"/v1/jobs/{job}"


def job_json(gateway: Gateway, view: JobView) -> dict[str, Any]:
    record, state = view.record, view.state
    return {
        "id": view.job,
        "object": "job",
        "state": view.name,
        "class": record.class_ if record else None,
        "model": record.options.model if record else None,
        "language": record.options.language if record else None,
        "task": record.options.task if record else None,
        "filename": record.filename if record else None,
        "size_bytes": record.size_bytes if record else None,
        "created_at": record.created_at if record else None,
        "finished_at": state.at if state and view.is_final else None,
        "queue_position": gateway.index.queue_position(view),
        "windows": {"done": len(view.done), "total": view.total},
        "attempts": sum(view.attempts.values()),
        "duration_s": view.duration_s,
        "reason": state.reason if state and view.is_final else None,
        "message": (state.message or None) if state and view.is_final else None,
        "url": job_url(view.job),
        "result_url": f"{job_url(view.job)}/result",
        "events_url": f"{job_url(view.job)}/events",
    }


async def accepted_response(gateway: Gateway, job: str) -> JSONResponse:
    """202 with the job and where to ask for it."""
    view = await gateway.index.wait_record(job, INDEX_WAIT_S)
    body = job_json(gateway, view) if view else {"id": job, "object": "job", "state": "queued", "url": job_url(job)}
    return JSONResponse({"job": body}, 202, {"Location": job_url(job), "x-job-id": job})


async def own_job(gateway: Gateway, job: str, client: str) -> JobView:
    """Another client's job is as unknown as none; one that another gateway has just accepted is waited for."""
    view = gateway.index.get(job, client)
    if (view is None or view.record is None) and await _is_accepted(gateway, job, client):
        view = await gateway.index.wait_record(job, INDEX_WAIT_S)
    if view is None or view.record is None:
        raise job_not_found(job[:64])
    return view


async def _is_accepted(gateway: Gateway, job: str, client: str) -> bool:
    """As the stream's leader has it; every other replica may be behind."""
    subject = names.record_subject(client, job)
    # What is no id must be no wildcard either.
    return job.isalnum() and subject in await gateway.jetstream.subjects(names.JOURNAL_STREAM, subject)


def still_running(job: str, *, draining: bool) -> ApiError:
    """Sending the same upload again joins the job."""
    why = "The gateway is shutting down" if draining else "The limit for waiting is over"
    return ApiError(
        503 if draining else 504,
        f"{why}, and job {job} is still under way. Ask {job_url(job)} for it, or send the same file again to wait on.",
        code="job_still_running",
        retry=True,
        headers={"Retry-After": "1", "Location": job_url(job), "x-job-id": job},
    )


def not_done(job: str) -> ApiError:
    return ApiError(
        409,
        f"Job {job} is not done yet. Ask {job_url(job)} for its state, or follow {job_url(job)}/events.",
        code="job_not_done",
        retry=True,
        headers={"Retry-After": "1", "Location": job_url(job), "x-job-id": job},
    )
