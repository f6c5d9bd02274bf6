"""POST /transcribe: a file in, its text out."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from whisper_dispatcher.gateway import api_docs, errors, options
from whisper_dispatcher.gateway.gateway import gateway_of
from whisper_dispatcher.gateway.intake import take_upload
from whisper_dispatcher.gateway.job_view import accepted_response
from whisper_dispatcher.gateway.multipart import Form
from whisper_dispatcher.gateway.transcripts import transcript_at_hand, transcript_of
from whisper_dispatcher.gateway.waiting import wait_text

router = APIRouter(tags=["transcribe"])


@router.post("/transcribe", openapi_extra=api_docs.TRANSCRIBE, summary="Transcribe one file")
async def transcribe(request: Request) -> Response:
    gateway = gateway_of(request)

    def wait_of(form: Form) -> float:
        settings = gateway.settings
        prefer = request.headers.get("prefer", "")
        return options.wait_s(form, prefer, default=settings.default_wait_s, high=settings.max_wait_s)

    accepted = await take_upload(gateway, request, check=wait_of)
    view = await wait_text(gateway, request, accepted.job, wait_of(accepted.form))
    if view is None:
        return await accepted_response(gateway, accepted.job)
    if view.is_final and view.name != "completed":
        raise errors.job_failed(view)
    transcript = transcript_at_hand(gateway.feed, view) or await transcript_of(gateway.jetstream, view)
    return JSONResponse({"transcription": transcript.text}, headers={"x-job-id": accepted.job})
