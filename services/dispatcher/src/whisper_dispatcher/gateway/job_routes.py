"""/v1/jobs: submit and come back later."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from whisper_dispatcher.gateway import api_docs, errors, sse
from whisper_dispatcher.gateway.auth import authenticate
from whisper_dispatcher.gateway.events import job_events
from whisper_dispatcher.gateway.formats import respond
from whisper_dispatcher.gateway.gateway import Gateway, gateway_of
from whisper_dispatcher.gateway.intake import take_upload
from whisper_dispatcher.gateway.job_view import accepted_response, job_json, not_done, own_job
from whisper_dispatcher.gateway.options import ResponseFormat
from whisper_dispatcher.gateway.transcripts import transcript_of
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.jobs.index import JobView
from whisper_dispatcher.transcript.render import Granularity

log = structlog.get_logger()
router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

STATE_WAIT_S = 2.0
MAX_PAGE = 100
MAX_ID_DIGITS = 20


@router.post("", status_code=202, openapi_extra=api_docs.SUBMIT, summary="Submit a file")
async def submit(request: Request) -> Response:
    gateway = gateway_of(request)
    accepted = await take_upload(gateway, request)
    return await accepted_response(gateway, accepted.job)


@router.get("", summary="List own jobs, newest first")
async def list_jobs(
    request: Request, limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 20, after: str | None = None
) -> Response:
    """`after`: the id of the last job of the page before."""
    gateway = gateway_of(request)
    client = authenticate(gateway, request)
    views = gateway.index.jobs(client.client)
    if after is not None:
        before = (await own_job(gateway, after, client.client)).record_sequence
        views = [view for view in views if view.record_sequence < before]
    data = [job_json(gateway, view) for view in views[:limit]]
    return JSONResponse({"object": "list", "data": data, "has_more": len(views) > limit})


@router.get("/{job}", summary="A job's state")
async def get_job(request: Request, job: str) -> Response:
    gateway = gateway_of(request)
    client = authenticate(gateway, request)
    return JSONResponse(job_json(gateway, await own_job(gateway, job, client.client)))


@router.get("/{job}/result", summary="A completed job's transcript")
async def get_result(
    request: Request,
    job: str,
    format: ResponseFormat = "json",  # noqa: A002 - the API's word
) -> Response:
    gateway = gateway_of(request)
    client = authenticate(gateway, request)
    view = await own_job(gateway, job, client.client)
    if not view.is_final or view.record is None:
        raise not_done(job)
    if view.name != "completed":
        raise errors.job_failed(view)
    transcript = await transcript_of(gateway.jetstream, view)
    wanted: tuple[Granularity, ...] = ("segment", "word") if view.record.options.words else ()
    return respond(transcript, format, task=view.record.options.task, granularities=wanted)


@router.get("/{job}/events", summary="A job's events, as they come")
async def get_events(request: Request, job: str, detail: bool = False) -> Response:
    """Server-sent events: accepted, planned, window, attempt, requeued, completed, failed, cancelled.

    Their id is a number that grows; `Last-Event-ID` resumes after it. 204 when nothing more will come.
    `detail=true`: `window` has the `segments` it adds, and `queue` tells the `position` whenever it changes.
    """
    gateway = gateway_of(request)
    client = authenticate(gateway, request)
    view = await own_job(gateway, job, client.client)
    last_id = request.headers.get("last-event-id", "")
    after = int(last_id) if last_id.isdecimal() and len(last_id) < MAX_ID_DIGITS else 0
    if view.is_final and after >= view.state_sequence:
        return Response(status_code=204)
    revoked = gateway.clients.revocation(client.client)
    return sse.event_stream(job_events(gateway, view, after, revoked, detail=detail), job)


@router.delete("/{job}", summary="Cancel a running job, or erase a finished one")
async def delete_job(request: Request, job: str) -> Response:
    """A running job answers 200 with its state; a finished one is erased, audio and text, and answers 204."""
    gateway = gateway_of(request)
    client = authenticate(gateway, request)
    view = await own_job(gateway, job, client.client)
    if view.is_final:
        await journal.erase(gateway.jetstream, view)
        log.info("erased on request", job=job)
        return Response(status_code=204)
    return await _cancel(gateway, view)


@router.post("/{job}/cancel", summary="Cancel a job, and leave a finished one as it is")
async def cancel_job(request: Request, job: str) -> Response:
    """Unlike DELETE it may be sent again after a lost answer: it never erases a transcript."""
    gateway = gateway_of(request)
    client = authenticate(gateway, request)
    view = await own_job(gateway, job, client.client)
    return JSONResponse(job_json(gateway, view)) if view.is_final else await _cancel(gateway, view)


async def _cancel(gateway: Gateway, view: JobView) -> Response:
    if await journal.cancel(gateway.jetstream, view):
        log.info("cancelled on request", job=view.job)
    final = await gateway.index.wait_final(view.job, STATE_WAIT_S)
    return JSONResponse(job_json(gateway, final or view))
