"""Jobs that failed for good: looked at, and sent on their way again."""

from __future__ import annotations

from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from whisper_contracts import names
from whisper_contracts.messages import DeadLetter
from whisper_dispatcher.gateway.auth import authenticate
from whisper_dispatcher.gateway.errors import ApiError, job_not_found
from whisper_dispatcher.gateway.gateway import Gateway, gateway_of
from whisper_dispatcher.gateway.job_view import accepted_response, own_job
from whisper_dispatcher.gateway.waiting import wait_until
from whisper_dispatcher.jobs import journal

log = structlog.get_logger()
router = APIRouter(prefix="/v1", tags=["dead letters"])

MAX_LETTERS = 1000
STATE_WAIT_S = 2.0


@router.get("/dead-letters", summary="Failed jobs; an operator's key sees every client's")
async def list_dead_letters(request: Request, limit: Annotated[int, Query(ge=1, le=MAX_LETTERS)] = 100) -> Response:
    """Newest first."""
    gateway = gateway_of(request)
    client = authenticate(gateway, request)
    wanted = names.dead_subject("*" if client.operator else client.client, "*")
    subjects = await gateway.jetstream.subjects(names.JOURNAL_STREAM, wanted)
    stored = await gateway.jetstream.get_all_last(names.JOURNAL_STREAM, list(subjects))
    letters = sorted((DeadLetter.decode(each.data) for each in stored), key=lambda letter: letter.at, reverse=True)
    data = [_letter_json(gateway, letter) for letter in letters[:limit]]
    return JSONResponse({"object": "list", "data": data, "has_more": len(letters) > limit})


@router.post("/jobs/{job}/requeue", status_code=202, summary="Try a failed job again")
async def requeue(request: Request, job: str) -> Response:
    """Windows that were transcribed already are kept."""
    gateway = gateway_of(request)
    client = authenticate(gateway, request)
    view = gateway.index.get(job) if client.operator else await own_job(gateway, job, client.client)
    if view is None:
        raise job_not_found(job[:64])
    if not await journal.requeue(gateway.jetstream, view):
        raise ApiError(
            409,
            f"Job {job} is {view.name}; only a failed job can be requeued.",
            code="job_not_failed",
            param="job",
            retry=False,
        )
    log.info("requeued on request", job=job, by=client.client)
    await wait_until(gateway, request, job, lambda view: not view.is_final, STATE_WAIT_S)
    return await accepted_response(gateway, job)


def _letter_json(gateway: Gateway, letter: DeadLetter) -> dict[str, Any]:
    view = gateway.index.get(letter.job)
    record = view.record if view else None
    return letter.model_dump(mode="json", exclude={"version"}) | {
        "filename": record.filename if record else None,
        "duration_s": view.duration_s if view else None,
    }
