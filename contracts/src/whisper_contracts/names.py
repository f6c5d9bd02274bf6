"""The names of everything in NATS: streams, subjects, consumers, buckets.

No other module writes a subject by hand. Tokens never contain `.`, `*`, `>` or white space.
"""

from __future__ import annotations

import hashlib
import re
from typing import Literal

Class = Literal["interactive", "bulk"]
"""Scheduling class. Interactive work is asked for first, so a short note never waits behind an hour."""

CLASSES: tuple[Class, ...] = ("interactive", "bulk")

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

    `=` is legal in subjects, consumer names and KV keys, and in no catalogue name.
    """
    encoded = name.replace(".", "=")
    if not re.fullmatch(r"[A-Za-z0-9_=-]{1,100}", encoded):
        raise ValueError(f"{name!r} cannot be part of a NATS subject: use letters, digits, '.', '_' and '-'")
    return encoded


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


def window_result_subject(client: str, job: str, index: int) -> str:
    return f"whisper.jobs.{client}.{job}.window.{index}"


def attempt_subject(client: str, job: str, index: int) -> str:
    return f"whisper.jobs.{client}.{job}.attempt.{index}"


def failure_subject(client: str, job: str, index: int) -> str:
    return f"whisper.jobs.{client}.{job}.failure.{index}"


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


def parse_job_subject(subject: str) -> tuple[str, str, str, int | None]:
    """`whisper.jobs.c.j.window.3` → `("c", "j", "window", 3)`; `…state` → `(…, "state", None)`."""
    _, _, client, job, kind, *rest = subject.split(".")
    return client, job, kind, int(rest[0]) if rest else None
