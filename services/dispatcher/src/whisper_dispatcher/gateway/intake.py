"""The way of every upload, whatever endpoint it came to: who, how much, read, submit."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request

from whisper_contracts import names
from whisper_contracts.messages import ClientRecord, TranscribeOptions
from whisper_dispatcher import tracing
from whisper_dispatcher.gateway import admission, options, uploads
from whisper_dispatcher.gateway.auth import authenticate
from whisper_dispatcher.gateway.errors import bad_request
from whisper_dispatcher.gateway.gateway import Gateway
from whisper_dispatcher.gateway.multipart import Form
from whisper_dispatcher.gateway.submit import Submission, Submitter
from whisper_dispatcher.jetstream.errors import QueueUnavailable

IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Accepted:
    job: str
    client: ClientRecord
    form: Form
    options: TranscribeOptions


async def take_upload(
    gateway: Gateway,
    request: Request,
    *,
    task: options.Task = "transcribe",
    check: Callable[[Form], object] = lambda form: None,
) -> Accepted:
    """check: raises for fields of the endpoint's own, before anything is accepted."""
    client = authenticate(gateway, request)
    key = _idempotency_key(request)
    uploads.check_length(request, gateway.settings.max_upload_bytes)
    is_retry = request.headers.get("x-stainless-retry-count", "0") != "0"
    with admission.counted(gateway, client):
        job = names.idempotent_job_id(client.client, key) if key else uuid.uuid4().hex
        # What is sent again finds its job, which counts already.
        if not (key and gateway.index.get(job, client.client)):
            admission.check_room(gateway)
            if key or not is_retry:
                admission.check_quota(gateway, client)
        gateway.journal_room.begin_upload()
        upload = uploads.AudioUpload(gateway.jetstream, job, gateway.settings.max_upload_bytes)
        try:
            form = await uploads.read_form(request, upload)
            check(form)
            asked = options.transcribe_options(form, gateway.models, client, task)
            submission = Submission(
                client=client.client,
                options=asked,
                filename=form.filename or "",
                callback_url=options.callback_url(form, allow_private=gateway.settings.callbacks_allow_private),
                traceparent=request.scope["whisper.traceparent"],
                is_retry=is_retry,
            )
            submitter = Submitter(gateway.jetstream, gateway.index)
            with tracing.span("accept", submission.traceparent, job=job, size_bytes=upload.size_bytes):
                if key:
                    job = await submitter.submit_keyed(submission, upload)
                else:
                    check_quota = partial(admission.check_quota, gateway, client)
                    job = await submitter.submit_or_join(submission, upload, check_quota)
        except BaseException:
            await _drop(upload)
            raise
    request.scope["whisper.job"] = job
    return Accepted(job, client, form, asked)


async def _drop(upload: uploads.AudioUpload) -> None:
    with suppress(QueueUnavailable):  # the planner sweeps chunks that belong to no object
        await upload.abort()


def _idempotency_key(request: Request) -> str:
    key = request.headers.get("idempotency-key", "")
    if key and not IDEMPOTENCY_KEY.fullmatch(key):
        raise bad_request(
            "The Idempotency-Key must be 1 to 255 printable ASCII characters.",
            code="invalid_idempotency_key",
            param="Idempotency-Key",
        )
    return key
