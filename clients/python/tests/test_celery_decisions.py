"""What the Celery task does about each answer of the gateway, with Celery's own machinery and no broker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery
from celery.exceptions import Ignore, Retry

from whisperfleet import celery as tasks
from whisperfleet.celery import HEADER, LONGEST_LOOK_S, LONGEST_RETRY_S, MAX_RETRIES, TASK, look_delay_s, retry_delay_s
from whisperfleet.client import Client, Conflict, GatewayUnreachable, JobFailed, ServiceUnavailable, TooManyRequests

Answer = Callable[[httpx.Request], httpx.Response]


class Gateway:
    """Answers by method and path, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, httpx.Response] = {}
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answers[f"{request.method} {request.url.path}"]

    def says(self, asked: str, status: int, body: object, **headers: str) -> None:
        self.answers[asked] = httpx.Response(status, json=body, headers=headers)

    @property
    def asked(self) -> list[str]:
        return [f"{request.method} {request.url.path}" for request in self.requests]


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    gateway = Gateway()
    with Client("http://gateway", "k", patience_s=0, transport=httpx.MockTransport(gateway)) as client:
        monkeypatch.setattr(tasks, "_client", lambda: client)
        yield gateway


@pytest.fixture
def task(tmp_path: Path) -> Any:
    app = Celery("decisions", broker="memory://", backend=f"file://{tmp_path}", set_as_current=False)
    app.finalize()
    return app.tasks[TASK]


@pytest.fixture
def note(tmp_path: Path) -> str:
    path = tmp_path / "note.wav"
    path.write_bytes(b"RIFF")
    return str(path)


def run(
    task: Any, audio: str, *, waiting: dict[str, Any] | None = None, retries: int = 0, redelivered: bool = False
) -> Any:
    """One delivery of the task's message."""
    headers = {"mine": 1} | ({HEADER: waiting} if waiting else {})
    task.push_request(
        id="t1", args=[audio], kwargs={}, retries=retries, called_directly=False, is_eager=False, headers=headers,
        delivery_info={"redelivered": redelivered}, **({HEADER: waiting} if waiting else {}),
    )  # fmt: skip
    try:
        return task.run(audio)
    finally:
        task.pop_request()


def waiting(looks: int = 1, *, requeue: bool = False) -> dict[str, Any]:
    return {"job": "j1", "looks": looks, "requeue": requeue}


def job(state: str, **fields: object) -> dict[str, object]:
    return {"id": "j1", "state": state} | fields


def test_a_first_delivery_submits_under_the_tasks_own_key_and_waits_outside(
    task: Any, gateway: Gateway, note: str
) -> None:
    gateway.says("POST /v1/jobs", 202, {"job": job("queued", windows={"done": 0, "total": 3})})
    with pytest.raises(Ignore):
        run(task, note)
    assert gateway.requests[0].headers["idempotency-key"] == "celery-t1"
    meta = task.backend.get_task_meta("t1")
    assert (meta["status"], meta["result"]["job"], meta["result"]["windows_total"]) == ("PROGRESS", "j1", 3)


def test_a_completed_job_is_the_tasks_result(task: Any, gateway: Gateway, note: str) -> None:
    gateway.says("GET /v1/jobs/j1", 200, job("completed"))
    gateway.says("GET /v1/jobs/j1/result", 200, {"text": "hello", "duration": 1.5, "language": "english"})
    result = run(task, note, waiting=waiting())
    assert (result["job"], result["text"], result["duration_s"]) == ("j1", "hello", 1.5)
    assert json.dumps(result)


def test_a_text_that_another_gateway_has_not_heard_of_is_asked_for_again(
    task: Any, gateway: Gateway, note: str
) -> None:
    gateway.says("GET /v1/jobs/j1", 200, job("completed"))
    behind = {"error": {"message": "Job j1 is not done yet.", "code": "job_not_done"}}
    gateway.says("GET /v1/jobs/j1/result", 409, behind, **{"Retry-After": "1", "x-should-retry": "true"})
    with pytest.raises(Retry) as again:
        run(task, note, waiting=waiting(4))
    assert again.value.when >= 1


def test_a_key_that_had_another_upload_fails_the_task_at_once(task: Any, gateway: Gateway, note: str) -> None:
    gateway.says("POST /v1/jobs", 409, {"error": {"message": "Another file."}}, **{"x-should-retry": "false"})
    with pytest.raises(Conflict, match="Another file"):
        run(task, note)


@pytest.mark.parametrize("reason", ["server_unavailable", "server_error", "timeout", "internal"])
def test_a_job_that_failed_for_a_passing_reason_is_requeued_at_the_next_delivery(
    task: Any, gateway: Gateway, note: str, reason: str
) -> None:
    gateway.says("GET /v1/jobs/j1", 200, job("failed", reason=reason, message="It failed."))
    with pytest.raises(Retry) as again:
        run(task, note, waiting=waiting(4))
    headers = again.value.sig.options["headers"]
    assert headers == {"mine": 1, HEADER: waiting(4, requeue=True)}
    gateway.says("POST /v1/jobs/j1/requeue", 202, {"job": job("queued")})
    with pytest.raises(Ignore):
        run(task, note, waiting=headers[HEADER], retries=1)
    assert gateway.asked[-1] == "POST /v1/jobs/j1/requeue"


def test_passing_reasons_are_given_up_after_the_last_retry(task: Any, gateway: Gateway, note: str) -> None:
    gateway.says("GET /v1/jobs/j1", 200, job("failed", reason="timeout", message="Too slow."))
    with pytest.raises(JobFailed, match="Too slow"):
        run(task, note, waiting=waiting(), retries=MAX_RETRIES)


@pytest.mark.parametrize("reason", ["bad_audio", "too_long", "no_audio_stream", "unsupported_language", "expired"])
def test_every_other_reason_fails_the_task(task: Any, gateway: Gateway, note: str, reason: str) -> None:
    gateway.says("GET /v1/jobs/j1", 200, job("failed", reason=reason, message="No."))
    with pytest.raises(JobFailed) as failure:
        run(task, note, waiting=waiting())
    assert failure.value.reason == reason


def test_a_full_queue_is_tried_again_not_before_it_asks_to(task: Any, gateway: Gateway, note: str) -> None:
    gateway.says("POST /v1/jobs", 429, {"error": {"message": "Full.", "code": "queue_full"}}, **{"Retry-After": "40"})
    with pytest.raises(Retry) as again:
        run(task, note)
    assert again.value.when >= 40
    assert isinstance(again.value.exc, TooManyRequests)


def test_a_spent_daily_quota_fails_the_task_at_once(task: Any, gateway: Gateway, note: str) -> None:
    spent = {"error": {"message": "Used up.", "code": "insufficient_quota"}}
    gateway.says("POST /v1/jobs", 429, spent, **{"Retry-After": "80000", "x-should-retry": "false"})
    with pytest.raises(TooManyRequests, match="Used up") as refusal:
        run(task, note)
    assert refusal.value.code == "insufficient_quota"


def test_what_a_caller_gets_of_a_refusal_has_its_code(task: Any) -> None:
    """Through a result backend's JSON."""
    refusal = TooManyRequests("Used up.", status=429, code="insufficient_quota", retry_after_s=80_000.0)
    task.backend.store_result("t1", refusal, "FAILURE")
    found = task.backend.get_task_meta("t1")["result"]
    assert isinstance(found, TooManyRequests)
    assert (str(found), found.__dict__) == (str(refusal), refusal.__dict__)


def test_cancelling_gives_up_where_the_gateway_says_that_no_try_helps(task: Any, gateway: Gateway, note: str) -> None:
    gateway.says("POST /v1/jobs/j1/cancel", 503, {"error": {"message": "Never."}}, **{"x-should-retry": "false"})
    cancelling = task.app.tasks["whisperfleet.cancel_transcription"]
    arguments = ["j1", note, {}, "k"]
    cancelling.push_request(id="t2", args=arguments, kwargs={}, retries=0, called_directly=False, is_eager=False)
    with pytest.raises(ServiceUnavailable, match="Never"):
        cancelling.run(*arguments)


def test_a_refused_option_fails_the_task_at_once(task: Any, gateway: Gateway, note: str) -> None:
    gateway.says("POST /v1/jobs", 400, {"error": {"message": "No such language."}})
    with pytest.raises(Exception, match="No such language"):
        run(task, note)


def test_a_copy_that_another_overtook_asks_nothing_and_begets_nothing(task: Any, gateway: Gateway, note: str) -> None:
    task.backend.store_result("t1", {"looks": 5}, "PROGRESS")
    with pytest.raises(Ignore):
        run(task, note, waiting=waiting(4))
    assert gateway.asked == []


def test_the_first_message_delivered_again_begets_nothing_beside_the_one_that_waits(
    task: Any, gateway: Gateway, note: str
) -> None:
    task.backend.store_result("t1", {"looks": 1}, "PROGRESS")
    with pytest.raises(Ignore):
        run(task, note, redelivered=True)
    assert gateway.asked == []


def test_a_message_sent_anew_goes_on_where_the_lost_one_was_and_overtakes_it(
    task: Any, gateway: Gateway, note: str
) -> None:
    task.backend.store_result("t1", {"looks": 5}, "PROGRESS")
    gateway.says("POST /v1/jobs", 202, {"job": job("running", windows={"done": 1, "total": 3})})
    with pytest.raises(Ignore):
        run(task, note)
    assert gateway.requests[0].headers["idempotency-key"] == "celery-t1"
    with pytest.raises(Ignore):
        run(task, note, waiting=waiting(5))
    assert gateway.asked == ["POST /v1/jobs"]
    assert task.backend.get_task_meta("t1")["result"]["looks"] == 6


def test_a_delivery_after_success_does_nothing(task: Any, gateway: Gateway, note: str) -> None:
    task.backend.store_result("t1", {"text": "hello"}, "SUCCESS")
    with pytest.raises(Ignore):
        run(task, note)
    assert gateway.asked == []


def test_looks_grow_rarer_up_to_a_limit() -> None:
    delays = [look_delay_s(looks) for looks in range(12)]
    assert delays[0] == 0.5
    assert delays == sorted(delays)
    assert look_delay_s(100_000) == LONGEST_LOOK_S


@pytest.mark.parametrize(
    ("problem", "least_s", "most_s"),
    [
        (GatewayUnreachable("Away."), 0.5, 1.5),
        (ServiceUnavailable("Away.", status=503, retry_after_s=2.0), 2.0, 3.0),
        (ServiceUnavailable("Away.", status=503, retry_after_s=86_400.0), LONGEST_RETRY_S, LONGEST_RETRY_S),
    ],
)
def test_a_retry_waits_what_is_asked_for_but_never_longer_than_the_longest(
    problem: Exception, least_s: float, most_s: float
) -> None:
    delays = [retry_delay_s(problem, 0) for _ in range(100)]
    assert least_s <= min(delays) and max(delays) <= most_s
