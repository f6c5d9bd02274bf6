"""Transcription as a Celery task that holds no worker while it waits.

The task submits the audio and publishes itself again with a countdown, as long as the job runs. What it waits for
travels in the message's headers, so that arguments, chain, group and chord stay as the caller made them.
"""

from __future__ import annotations

import os
import random
from functools import lru_cache
from typing import Any, NoReturn, TypedDict

from celery import shared_task
from celery.backends.base import DisabledBackend
from celery.exceptions import Ignore, Reject
from celery.signals import task_revoked

from whisperfleet.client import (
    ApiError,
    Client,
    Conflict,
    GatewayUnreachable,
    Job,
    JobFailed,
    NotFound,
    ServiceUnavailable,
    TooManyRequests,
)
from whisperfleet.client.calls import failure_of

TASK = "whisperfleet.transcribe_audio"
HEADER = "whisperfleet"
TRANSIENT = (GatewayUnreachable, ServiceUnavailable, TooManyRequests, Conflict)
"""Unless the gateway says that no try helps. Conflict: another gateway has not heard of the job's end yet."""

PATIENCE_S = 3.0
"""A gateway that is away for longer is Celery's to try again, without a worker waiting for it."""
MAX_RETRIES = 16
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 300.0
FIRST_LOOK_S = 0.5
LOOK_GROWTH = 1.5
LONGEST_LOOK_S = 15.0


class Waiting(TypedDict):
    """Header of a task that has been here before."""

    job: str
    looks: int
    requeue: bool
    """The job failed for a reason that may have gone."""


@shared_task(
    bind=True,
    name=TASK,
    acks_late=True,
    reject_on_worker_lost=True,
    max_retries=MAX_RETRIES,
    # Celery logs what a task returns; a transcript belongs into no log.
    resultrepr_maxsize=0,
)
def transcribe_audio(self: Any, audio: str, **options: Any) -> dict[str, Any]:
    """The transcript of the file at the path `audio`, as a dict: job, text, language, duration_s, segments, words.

    options: as of `Client.submit`. Raises JobFailed for a recording that cannot be transcribed.
    """
    if self.request.is_eager:
        return _client().transcribe(audio, **options).model_dump(mode="json")
    waiting: Waiting | None = self.request.get(HEADER)
    looks = _looks(self, waiting)
    if looks is None:
        raise Ignore
    try:
        job = _advance(waiting, audio, options, idempotency_key(self.request.id))
        if job.state == "completed":
            return _client().transcript(job.id).model_dump(mode="json")
    except TRANSIENT as error:
        _try_again(self, error)
    if job.is_final:
        _fail(self, failure_of(job), looks)
    _come_back(self, Waiting(job=job.id, looks=looks + 1, requeue=False), look_delay_s(looks))
    # After the message, since a look that counts as done and never was published would be the last.
    _show_progress(self, job, looks + 1)
    raise Ignore


@shared_task(bind=True, name="whisperfleet.cancel_transcription", acks_late=True, max_retries=MAX_RETRIES)
def cancel_transcription(self: Any, job: str | None, audio: str, options: dict[str, Any], key: str) -> None:
    """job: None when nobody heard of it. Its key finds it: a job sent again under the same key is the same job."""
    try:
        client = _client()
        client.cancel(job or client.submit(audio, idempotency_key=key, **options).id)
    except NotFound:
        return
    except TRANSIENT as error:
        _try_again(self, error)


@task_revoked.connect
def _cancel_revoked(sender: Any, request: Any, terminated: bool = False, **_: Any) -> None:
    """Runs in the worker's consumer, so the cancelling itself is a task."""
    if sender.name != TASK:
        return
    waiting: Waiting | None = request.get(HEADER)
    info = request.delivery_info or {}
    has_begun = terminated or info.get("redelivered")
    if not waiting and not has_begun:
        return
    audio = request.args[0] if request.args else request.kwargs["audio"]
    options = {name: value for name, value in request.kwargs.items() if name != "audio"}
    arguments = (waiting["job"] if waiting else None, audio, options, idempotency_key(request.id))
    cancel_transcription.apply_async(arguments, queue=info.get("routing_key"))


def idempotency_key(task_id: str) -> str:
    """A task that is delivered again is the same job."""
    return f"celery-{task_id}"


def look_delay_s(looks: int) -> float:
    """looks: how often the job has been looked at."""
    return min(LONGEST_LOOK_S, FIRST_LOOK_S * LOOK_GROWTH ** min(looks, 16))


def retry_delay_s(error: Exception, retries: int) -> float:
    """Exponential with full jitter, and not less than Retry-After asks for, but for what is too long for a countdown."""
    delay_s = random.uniform(0, min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(retries, 16)))  # noqa: S311
    asked_s = error.retry_after_s if isinstance(error, ApiError) else None
    return min(LONGEST_RETRY_S, delay_s + (asked_s or FIRST_LOOK_S))


def _advance(waiting: Waiting | None, audio: str, options: dict[str, Any], key: str) -> Job:
    client = _client()
    if waiting is None:
        return client.submit(audio, idempotency_key=key, **options)
    job = client.job(waiting["job"])
    return client.requeue(job.id) if waiting["requeue"] and job.state == "failed" else job


def _try_again(task: Any, error: Exception) -> NoReturn:
    if isinstance(error, ApiError) and not error.should_retry:
        raise error
    raise task.retry(exc=error, countdown=retry_delay_s(error, task.request.retries)) from error


def _fail(task: Any, failure: JobFailed, looks: int) -> None:
    if not failure.is_transient:
        raise failure
    again = Waiting(job=failure.job, looks=looks, requeue=True)
    raise task.retry(
        exc=failure, countdown=retry_delay_s(failure, task.request.retries), headers=_headers(task, again)
    ) from failure


def _come_back(task: Any, waiting: Waiting, delay_s: float) -> None:
    """Not `retry`: waiting for a job is no failed attempt, and would show as RETRY instead of the progress."""
    signature = task.signature_from_request(countdown=delay_s, headers=_headers(task, waiting))
    try:
        signature.apply_async()
    except Exception as error:
        raise Reject(error, requeue=True) from error


def _headers(task: Any, waiting: Waiting) -> dict[str, Any]:
    """The caller's own headers stay."""
    return {**(task.request.headers or {}), HEADER: waiting}


def _show_progress(task: Any, job: Job, looks: int) -> None:
    meta = {
        "job": job.id,
        "queue_position": job.queue_position,
        "windows_done": job.windows.done,
        "windows_total": job.windows.total,
        "looks": looks,
    }
    task.update_state(state="PROGRESS", meta=meta)


def _looks(task: Any, waiting: Waiting | None) -> int | None:
    """How often the job has been looked at. None: another copy of this message has been here, which goes on alone,
    else every copy would beget copies.

    A chord's part is told twice rather than never: its backend counts each part once.
    """
    looks = waiting["looks"] if waiting else 0
    if isinstance(task.backend, DisabledBackend):
        return looks
    meta = task.backend.get_task_meta(task.request.id, cache=False)
    match meta["status"]:
        case "SUCCESS":
            return looks if task.request.chord else None
        case "PROGRESS":
            known: int = meta["result"]["looks"]
            # Sent anew by somebody who takes the message for lost: this one goes on from there, and overtakes the other.
            if waiting is None and not (task.request.delivery_info or {}).get("redelivered"):
                return known
            return None if known > looks else looks
    return looks


def _client() -> Client:
    return _client_of_process(os.getpid())


@lru_cache(maxsize=1)
def _client_of_process(_: int) -> Client:
    """A forked worker must not share its parent's connections."""
    return Client(patience_s=PATIENCE_S)
