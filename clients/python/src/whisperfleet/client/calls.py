"""Every call of the API, as a procedure: what is sent, what it means, and what to do when it goes wrong."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from whisper_contracts.failures import SENTENCES, FailureReason
from whisperfleet.client import following
from whisperfleet.client.errors import Conflict, JobCancelled, JobFailed, NotFound, StillRunning
from whisperfleet.client.results import (
    DeadLetter,
    DeadLetterPage,
    Format,
    Job,
    JobPage,
    Model,
    ModelList,
    Result,
    Transcript,
)
from whisperfleet.client.retrying import Patience, exchange, problem_of
from whisperfleet.client.steps import Answer, Procedure, Request, send
from whisperfleet.client.uploads import Audio, Options, Upload, form_fields


@dataclass(frozen=True, slots=True)
class Calls:
    patience_s: float

    def submit(
        self,
        audio: Audio,
        options: Options,
        idempotency_key: str | None = None,
        on_sent: Callable[[int], None] | None = None,
    ) -> Procedure[Job]:
        """The key is made once, so that every try of this call is the same job."""
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        upload = Upload.of(audio, form_fields(options), on_sent)
        answer = yield from self._exchange(Request("POST", "/v1/jobs", headers=headers, upload=upload))
        return _AcceptedJob.model_validate_json(answer.body).job

    def job(self, job: str) -> Procedure[Job]:
        answer = yield from self._exchange(Request("GET", job_path(job)))
        return Job.model_validate_json(answer.body)

    def jobs(self, limit: int, after: str | None) -> Procedure[JobPage]:
        params: dict[str, str | int] = {"limit": limit} | ({"after": after} if after else {})
        answer = yield from self._exchange(Request("GET", "/v1/jobs", params=params))
        return JobPage.model_validate_json(answer.body)

    def models(self) -> Procedure[tuple[Model, ...]]:
        answer = yield from self._exchange(Request("GET", "/v1/models"))
        return ModelList.model_validate_json(answer.body).data

    def dead_letters(self, limit: int) -> Procedure[tuple[DeadLetter, ...]]:
        answer = yield from self._exchange(Request("GET", "/v1/dead-letters", params={"limit": limit}))
        return DeadLetterPage.model_validate_json(answer.body).data

    def events(self, job: str, after: int, deadline: float | None) -> Procedure[int]:
        return following.follow(f"{job_path(job)}/events", job, after, self.patience_s, deadline)

    def wait(self, job: str, deadline: float | None) -> Procedure[Transcript]:
        """Raises JobFailed, or StillRunning after the deadline."""
        last_id = 0
        while True:
            last_id = yield from self.events(job, last_id, deadline)
            view = yield from self.job(job)
            # Another gateway may not have heard of the end yet, and a failed job may have been requeued.
            if view.is_final:
                return (yield from self.transcript_of(view))

    def transcript_of(self, job: Job) -> Procedure[Transcript]:
        """Raises JobFailed for a job that ended in another way."""
        if job.state != "completed":
            raise failure_of(job)
        patience = Patience(self.patience_s)
        while True:
            try:
                return (yield from self.transcript(job.id))
            except Conflict as conflict:
                if conflict.code != "job_not_done":
                    raise
                # Another gateway has not heard of the end yet.
                yield patience.pause(StillRunning(job.id))

    def transcribe(
        self,
        audio: Audio,
        options: Options,
        deadline: float | None,
        on_sent: Callable[[int], None] | None = None,
    ) -> Procedure[Transcript]:
        job = yield from self.submit(audio, options, on_sent=on_sent)
        return (yield from self.wait(job.id, deadline))

    def transcript(self, job: str) -> Procedure[Transcript]:
        found = Transcript.model_validate_json((yield from self.result(job, "verbose_json")))
        return found.model_copy(update={"job": job})

    def result(self, job: str, format_: Format) -> Procedure[str]:
        request = Request("GET", f"{job_path(job)}/result", params={"format": format_})
        answer = yield from self._exchange(request)
        return answer.body.decode()

    def cancel(self, job: str) -> Procedure[Job]:
        """A job that is over stays as it is."""
        answer = yield from self._exchange(Request("POST", f"{job_path(job)}/cancel"))
        return Job.model_validate_json(answer.body)

    def delete(self, job: str) -> Procedure[None]:
        """Gone already is as good as deleted: an answer may have been lost. Raises StillRunning when nothing was erased."""
        yield from self.cancel(job)
        patience = Patience(self.patience_s)
        try:
            # Any other success only cancelled: that gateway has not heard of the job's end yet.
            while (yield from self._exchange(Request("DELETE", job_path(job)))).status != following.NO_CONTENT:
                yield patience.pause(StillRunning(job))
        except NotFound:
            return

    def requeue(self, job: str) -> Procedure[Job]:
        """A job that is queued again by a try whose answer was lost counts as requeued."""
        patience = Patience(self.patience_s)
        is_repeated = False
        while True:
            reply = yield from send(Request("POST", f"{job_path(job)}/requeue"))
            if isinstance(reply, Answer) and reply.is_success:
                return _AcceptedJob.model_validate_json(reply.body).job
            problem = problem_of(reply)
            if isinstance(problem, Conflict) and is_repeated:
                view = yield from self.job(job)
                if not view.is_final:
                    return view
            yield patience.pause(problem)
            is_repeated = True

    def _exchange(self, request: Request) -> Procedure[Answer]:
        return exchange(request, self.patience_s)


class _AcceptedJob(Result):
    job: Job


def job_path(job: str) -> str:
    return f"/v1/jobs/{quote(job, safe='')}"


def failure_of(job: Job) -> JobFailed:
    if job.state == "failed":
        return JobFailed(job.id, job.reason or FailureReason.INTERNAL, job.message or f"Job {job.id} failed.")
    return JobCancelled(job.id, FailureReason.CANCELLED, job.message or SENTENCES[FailureReason.CANCELLED])
