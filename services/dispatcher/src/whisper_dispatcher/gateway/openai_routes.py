"""What the official OpenAI clients call: /v1/audio/transcriptions, /v1/audio/translations, /v1/models."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from whisper_contracts.messages import ModelRecord
from whisper_dispatcher.gateway import api_docs, errors, options, sse
from whisper_dispatcher.gateway.auth import authenticate
from whisper_dispatcher.gateway.formats import respond
from whisper_dispatcher.gateway.gateway import Gateway, gateway_of
from whisper_dispatcher.gateway.intake import Accepted, take_upload
from whisper_dispatcher.gateway.job_view import still_running
from whisper_dispatcher.gateway.multipart import Form
from whisper_dispatcher.gateway.text_stream import text_events
from whisper_dispatcher.gateway.transcripts import transcript_at_hand, transcript_of
from whisper_dispatcher.gateway.waiting import wait_text, wait_until

router = APIRouter(prefix="/v1", tags=["openai"])


@router.post("/audio/transcriptions", openapi_extra=api_docs.TRANSCRIPTIONS, summary="Transcribe, as OpenAI's API")
async def transcriptions(request: Request) -> Response:
    return await _answer(request, "transcribe")


@router.post("/audio/translations", openapi_extra=api_docs.TRANSLATIONS, summary="Translate into English")
async def translations(request: Request) -> Response:
    return await _answer(request, "translate")


async def _answer(request: Request, task: options.Task) -> Response:
    gateway = gateway_of(request)

    def check(form: Form) -> None:
        options.check_granularities(form, options.response_format(form))
        options.is_streaming(form)
        _wait_s(gateway, request, form)

    accepted = await take_upload(gateway, request, task=task, check=check)
    if options.is_streaming(accepted.form):
        return await _streamed(gateway, request, accepted)
    view = await wait_text(gateway, request, accepted.job, _wait_s(gateway, request, accepted.form))
    if view is None:
        raise still_running(accepted.job, draining=gateway.draining.is_set())
    if view.is_final and view.name != "completed":
        raise errors.job_failed(view)
    wanted = options.response_format(accepted.form)
    transcript = transcript_at_hand(gateway.feed, view) or await transcript_of(gateway.jetstream, view)
    response = respond(transcript, wanted, task=task, granularities=options.granularities(accepted.form))
    response.headers["x-job-id"] = accepted.job
    return response


async def _streamed(gateway: Gateway, request: Request, accepted: Accepted) -> Response:
    """The status is sent with the first event, so it is put off while bad audio can still become a 400."""
    view = await wait_until(
        gateway,
        request,
        accepted.job,
        lambda view: view.is_final or view.total is not None,
        gateway.settings.keep_alive_s,
    )
    if view and view.is_final and view.name != "completed":
        raise errors.job_failed(view)
    revoked = gateway.clients.revocation(accepted.client.client)
    return sse.event_stream(text_events(gateway, accepted.job, revoked), accepted.job)


def _wait_s(gateway: Gateway, request: Request, form: Form) -> float:
    settings = gateway.settings
    prefer = request.headers.get("prefer", "")
    return options.wait_s(form, prefer, default=settings.default_wait_s, high=settings.max_wait_s)


@router.get("/models", summary="The models this key may use")
async def list_models(request: Request) -> Response:
    gateway = gateway_of(request)
    client = authenticate(gateway, request)
    models = options.visible_models(gateway.models, client)
    return JSONResponse({"object": "list", "data": [_model_json(model, model.name) for model in models]})


@router.get("/models/{name:path}", summary="One model, by its name or an alias")
async def get_model(request: Request, name: str) -> Response:
    gateway = gateway_of(request)
    client = authenticate(gateway, request)
    return JSONResponse(_model_json(options.find_model(name, gateway.models, client), name))


def _model_json(model: ModelRecord, asked: str) -> dict[str, Any]:
    return {
        "id": asked,
        "object": "model",
        "created": int(model.created_at),
        "owned_by": "whisperfleet",
        "root": model.name,
        "aliases": list(model.aliases),
        "languages": list(model.languages),
        "default": model.default,
    }
