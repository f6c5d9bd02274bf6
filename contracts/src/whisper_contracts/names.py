"""The names of everything in NATS: streams, subjects, consumers, buckets.

No other module writes a subject by hand. Tokens never contain `.`, `*`, `>` or white space.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal, NamedTuple, get_args

Class = Literal["interactive", "bulk"]
"""Scheduling class. Interactive work is asked for first, so a short note never waits behind an hour."""

CLASSES: tuple[Class, ...] = ("interactive", "bulk")

WorkerKind = Literal["window", "attempt", "failure"]
"""What workers write of a window. The subjects name the model, so that NATS can keep a worker to its own queue."""

WORKER_KINDS: tuple[WorkerKind, ...] = get_args(WorkerKind)

PLAN_STREAM = "PLAN"
WINDOWS_STREAM = "WINDOWS"
HOOKS_STREAM = "HOOKS"
JOURNAL_STREAM = "JOURNAL"

AUDIO_BUCKET = "audio"
CLIENTS_BUCKET = "clients"
MODELS_BUCKET = "models"

PLAN_SUBJECTS = "whisper.plan.>"
WINDOWS_SUBJECTS = "whisper.windows.>"
HOOKS_SUBJECTS = "whisper.hooks.>"
JOB_SUBJECTS = "whisper.jobs.>"
AUDIO_SUBJECTS = "whisper.audio.>"
DEAD_SUBJECTS = "whisper.dead.>"
UPLOAD_SUBJECTS = "whisper.uploads.>"
JOURNAL_SUBJECTS = (JOB_SUBJECTS, AUDIO_SUBJECTS, DEAD_SUBJECTS, UPLOAD_SUBJECTS)

CANCEL_SUBJECTS = "whisper.cancel.*"
WORKER_SUBJECTS = "whisper.workers.*.*"


def token(name: str) -> str:
    """A model or client name as one subject token: `base.en` becomes `base=en`.

    `=` is legal in subjects, consumer names and KV keys, and in no name, so that two names never share a token.
    """
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", name):
        raise ValueError(f"{name!r} cannot be part of a NATS subject: use letters, digits, '.', '_' and '-'")
    return name.replace(".", "=")


def plan_subject(class_: Class, client: str, job: str) -> str:
    return f"whisper.plan.{class_}.{client}.{job}"


def plan_consumer(class_: Class) -> str:
    return f"planner-{class_}"


def window_subject(model: str, class_: Class, client: str, job: str, index: int) -> str:
    return f"whisper.windows.{token(model)}.{class_}.{client}.{job}.{index}"


def windows_filter(model: str, class_: Class) -> str:
    return f"whisper.windows.{token(model)}.{class_}.>"


def windows_consumer(model: str, class_: Class) -> str:
    return f"{token(model)}-{class_}"


def job_windows_filter(client: str, job: str) -> str:
    """Every queued window of one job, whatever its model and class: for the purge at a cancel."""
    return f"whisper.windows.*.*.{client}.{job}.>"


def job_plan_filter(client: str, job: str) -> str:
    return f"whisper.plan.*.{client}.{job}"


def job_filter(client: str, job: str) -> str:
    return f"whisper.jobs.{client}.{job}.>"


def record_subject(client: str, job: str) -> str:
    return f"whisper.jobs.{client}.{job}.record"


def plan_result_subject(client: str, job: str) -> str:
    return f"whisper.jobs.{client}.{job}.plan"


def state_subject(client: str, job: str) -> str:
    return f"whisper.jobs.{client}.{job}.state"


def window_result_subject(model: str, client: str, job: str, index: int) -> str:
    return f"whisper.jobs.{client}.{job}.window.{token(model)}.{index}"


def attempt_subject(model: str, client: str, job: str, index: int) -> str:
    return f"whisper.jobs.{client}.{job}.attempt.{token(model)}.{index}"


def failure_subject(model: str, client: str, job: str, index: int) -> str:
    return f"whisper.jobs.{client}.{job}.failure.{token(model)}.{index}"


def queue_written_filter(queue: str, kind: WorkerKind) -> str:
    """What the workers of one queue write. queue: a model's token; `*` for every queue."""
    return f"whisper.jobs.*.*.{kind}.{queue}.*"


def job_written_filter(client: str, job: str, kind: WorkerKind) -> str:
    return f"whisper.jobs.{client}.{job}.{kind}.>"


def audio_subject(client: str, job: str) -> str:
    return f"whisper.audio.{client}.{job}"


def dead_subject(client: str, job: str) -> str:
    return f"whisper.dead.{client}.{job}"


def upload_subject(client: str, digest: str) -> str:
    """Where the running job of an identical upload is noted. digest: hex, see `upload_digest`."""
    return f"whisper.uploads.{client}.{digest}"


def hook_subject(client: str, job: str) -> str:
    return f"whisper.hooks.{client}.{job}"


def cancel_subject(job: str) -> str:
    """Core NATS, not stored: tells whichever worker holds a window of the job to stop it now."""
    return f"whisper.cancel.{job}"


def worker_subject(model: str, worker: str) -> str:
    """Core NATS, not stored: what a worker does. worker: `*` for every one of the model."""
    return f"whisper.workers.{token(model)}.{worker}"


def idempotent_job_id(client: str, idempotency_key: str) -> str:
    """The job id of an Idempotency-Key: the same key makes the same id, and the journal's record is written once."""
    return hashlib.sha256(f"{client}\n{idempotency_key}".encode()).hexdigest()[:32]


class JobSubject(NamedTuple):
    client: str
    job: str
    kind: str
    model: str = ""
    """Whose worker wrote it; empty for what no worker writes."""
    window: int | None = None


def parse_job_subject(subject: str) -> JobSubject:
    """`whisper.jobs.c.j.window.base=en.3` → `("c", "j", "window", "base.en", 3)`; `…state` has neither model nor window."""
    _, _, client, job, kind, *written = subject.split(".")
    if not written:
        return JobSubject(client, job, kind)
    queue, window = written
    return JobSubject(client, job, kind, queue.replace("=", "."), int(window))
