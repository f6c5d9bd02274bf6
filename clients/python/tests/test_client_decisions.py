"""What the clients decide, without a network: procedures are told answers by hand."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Sequence

import pytest

from whisperfleet.client.calls import Calls
from whisperfleet.client.errors import (
    ApiError,
    GatewayUnreachable,
    JobFailed,
    ServiceUnavailable,
    StillRunning,
    TooManyRequests,
    WhisperfleetError,
    error_for,
)
from whisperfleet.client.following import EventReader, deadline_after
from whisperfleet.client.retrying import LONGEST_PAUSE_S, delay_before_retry_s, problem_of, retry_after_s
from whisperfleet.client.steps import Answer, Done, Lost, Pause, Procedure, Reply, Request, Step, T
from whisperfleet.client.uploads import Upload

PATIENCE_S = 60.0
CALLS = Calls(PATIENCE_S)
LOST = Lost("Nothing answers.")


def answer(status: int, body: object = None, **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode())


def refusal(status: int, code: str = "", **headers: str) -> Answer:
    return answer(status, {"error": {"message": "A sentence.", "code": code, "param": None}}, **headers)


def job(state: str, **fields: object) -> dict[str, object]:
    return {"id": "j1", "state": state} | fields


def play(procedure: Procedure[T], replies: Sequence[Reply]) -> tuple[list[Step], T]:
    """Pauses need no reply; everything else takes the next one."""
    steps: list[Step] = []
    queue = list(replies)
    reply: Reply = None
    while True:
        try:
            step = procedure.send(reply)
        except StopIteration as end:
            assert queue == []
            return steps, Done(end.value).value
        steps.append(step)
        reply = None if isinstance(step, Pause) else queue.pop(0)


def requests(steps: list[Step]) -> list[str]:
    return [f"{step.method} {step.path}" for step in steps if isinstance(step, Request)]


def test_every_try_of_an_upload_has_the_same_idempotency_key() -> None:
    accepted = answer(202, {"job": job("queued")})
    steps, found = play(CALLS.submit(b"audio", {}), [LOST, refusal(503), accepted])
    keys = {step.headers["Idempotency-Key"] for step in steps if isinstance(step, Request)}
    assert (len(requests(steps)), len(keys), found.id) == (3, 1, "j1")


def test_two_uploads_have_two_keys() -> None:
    accepted = answer(202, {"job": job("queued")})
    keys = {play(CALLS.submit(b"audio", {}), [accepted])[0][0].headers["Idempotency-Key"] for _ in range(2)}  # type: ignore[union-attr]
    assert len(keys) == 2


def test_a_stream_that_can_be_read_once_is_sent_once() -> None:
    with pytest.raises(GatewayUnreachable):
        play(CALLS.submit(Pipe(), {}), [LOST])  # type: ignore[arg-type]


class Pipe:
    def __init__(self, name: str = "pipe") -> None:
        self.name = name

    def seekable(self) -> bool:
        return False


def test_a_busy_service_is_asked_again_after_what_it_asks_for() -> None:
    steps, _ = play(CALLS.job("j1"), [refusal(429, retry_after="7"), answer(200, job("running"))])
    (pause,) = [step for step in steps if isinstance(step, Pause)]
    assert (pause.delay_s, str(pause.because)) == (7.0, "A sentence.")


def test_a_pause_beyond_the_patience_is_not_begun() -> None:
    with pytest.raises(TooManyRequests) as refused:
        play(CALLS.job("j1"), [refusal(429, retry_after="3600")])
    assert refused.value.retry_after_s == 3600


def test_patience_ends() -> None:
    with pytest.raises(ServiceUnavailable):
        play(CALLS.job("j1"), [refusal(503, retry_after="25")] * 10)


@pytest.mark.parametrize(
    ("status", "headers", "tries", "delay_s"),
    [
        (503, {}, 0, 0.5),
        (503, {}, 1, 1.0),
        (500, {}, 3, 4.0),
        (502, {}, 4, LONGEST_PAUSE_S),
        (504, {}, 100_000, LONGEST_PAUSE_S),
        (429, {"retry_after": "40"}, 0, 40.0),
        (503, {"x_should_retry": "false"}, 0, None),
        (409, {"x_should_retry": "true", "retry_after": "1"}, 0, None),
        (400, {}, 0, None),
        (401, {}, 0, None),
        (404, {}, 0, None),
    ],
)
def test_only_what_can_go_away_is_tried_again(
    status: int, headers: dict[str, str], tries: int, delay_s: float | None
) -> None:
    assert delay_before_retry_s(problem_of(refusal(status, **headers)), tries, chance=1.0) == delay_s


def test_chance_takes_up_to_half_of_a_pause() -> None:
    assert delay_before_retry_s(GatewayUnreachable("away"), 1, chance=0.0) == 0.5


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        (
            {"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"},
            30.0,
        ),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_both_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers) == seconds


@pytest.mark.parametrize("body", [b"<html>", b'"text"', b'{"error": "text"}', b"[]", b""])
def test_an_answer_that_is_not_the_apis_is_still_a_sentence(body: bytes) -> None:
    problem = problem_of(Answer(502, {}, body))
    assert str(problem) == "The gateway answered 502 without a reason."


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 413, 418, 422, 429, 499, 500, 503, 504])
def test_every_status_has_its_exception(status: int) -> None:
    assert issubclass(error_for(status), ApiError)


def event(number: int, kind: str, **data: object) -> bytes:
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def test_a_broken_stream_is_resumed_behind_the_last_event() -> None:
    half = event(4, "window", done=1, total=2)[:20]
    replies: list[Reply] = [
        *(answer(200), b"retry: 1000\n\n" + event(3, "accepted"), None, half, LOST),
        LOST,
        *(answer(200), event(4, "window", done=1, total=2), None, event(5, "completed"), None),
    ]
    steps, last_id = play(CALLS.events("j1", 0, None), replies)
    streams = [step.headers["Last-Event-ID"] for step in steps if isinstance(step, Request)]
    assert (streams, last_id) == (["0", "3", "3"], 5)


def test_a_wait_asks_again_when_another_gateway_has_not_heard_of_the_end() -> None:
    done: list[Reply] = [answer(204)]
    text = answer(200, {"text": "hello", "duration": 1.0})
    replies = [*done, answer(200, job("running")), *done, answer(200, job("completed")), text]
    steps, transcript = play(CALLS.wait("j1", None), replies)
    assert transcript.text == "hello"
    assert requests(steps).count("GET /v1/jobs/j1/events") == 2


def test_a_text_is_asked_for_again_when_another_gateway_has_not_heard_of_the_end() -> None:
    behind, text = refusal(409, "job_not_done", retry_after="1"), answer(200, {"text": "hello"})
    steps, transcript = play(CALLS.wait("j1", None), [answer(204), answer(200, job("completed")), behind, behind, text])
    assert transcript.text == "hello"
    assert [step.delay_s > 0 for step in steps if isinstance(step, Pause)] == [True, True]


def test_a_failed_job_is_an_exception_with_its_reason() -> None:
    failed = job("failed", reason="timeout", message="It took too long.")
    with pytest.raises(JobFailed, match=r"^It took too long\.$") as failure:
        play(CALLS.wait("j1", None), [answer(204), answer(200, failed)])
    assert (failure.value.reason, failure.value.is_transient) == ("timeout", True)


def test_a_reason_of_a_newer_service_is_no_error_of_its_own() -> None:
    with pytest.raises(JobFailed, match="Job j1 failed") as failure:
        play(CALLS.wait("j1", None), [answer(204), answer(200, job("failed", reason="new_reason"))])
    assert (failure.value.reason, failure.value.is_transient) == ("new_reason", False)


def test_a_deadline_that_is_over_ends_a_wait_before_it_begins() -> None:
    with pytest.raises(StillRunning):
        play(CALLS.wait("j1", deadline_after(-1)), [])


def test_a_requeue_whose_answer_was_lost_counts() -> None:
    replies = [LOST, refusal(409, "job_not_failed"), answer(200, job("queued"))]
    assert play(CALLS.requeue("j1"), replies)[1].state == "queued"


def test_a_delete_whose_answer_was_lost_counts() -> None:
    steps, _ = play(CALLS.delete("j1"), [answer(200, job("completed")), LOST, refusal(404)])
    assert requests(steps) == ["POST /v1/jobs/j1/cancel", "DELETE /v1/jobs/j1", "DELETE /v1/jobs/j1"]


def test_a_delete_that_only_cancelled_is_sent_again_until_the_job_is_erased() -> None:
    replies = [answer(200, job("cancelled")), answer(200, job("running")), answer(200, job("cancelled")), answer(204)]
    steps, _ = play(CALLS.delete("j1"), replies)
    assert requests(steps) == ["POST /v1/jobs/j1/cancel"] + ["DELETE /v1/jobs/j1"] * 3
    assert [step.delay_s > 0 for step in steps if isinstance(step, Pause)] == [True, True]


def test_a_delete_that_never_erases_says_so() -> None:
    with pytest.raises(StillRunning):
        play(CALLS.delete("j1"), [answer(200, job("running"))] * 1000)


def test_an_id_cannot_lead_to_another_address() -> None:
    steps, _ = play(CALLS.job("../x?y"), [answer(200, job("queued"))])
    assert requests(steps) == ["GET /v1/jobs/..%2Fx%3Fy"]


@pytest.mark.parametrize("size_bytes", [1, 7, 1000])
def test_events_are_read_however_they_are_cut(size_bytes: int) -> None:
    data = b": keep-alive\n\nretry: 5\r\n\r\n" + event(1, "failed", message="no sound\u2028at all") + b"id: 2\n\n"
    reader = EventReader()
    pieces = [data[i : i + size_bytes] for i in range(0, len(data), size_bytes)]
    (found,) = [found for piece in pieces for found in reader.read(piece)]
    assert (found.id, found.type, found.message, found.is_final) == (1, "failed", "no sound\u2028at all", True)


def test_a_form_is_as_long_as_it_says() -> None:
    upload = Upload.of(b"x" * 600_000, {"language": "en", "prompt": "Käthe"})
    body = b"".join(upload.chunks())
    assert len(body) == upload.length_bytes()
    assert body == b"".join(upload.chunks())
    assert 'name="prompt"\r\n\r\nKäthe\r\n'.encode() in body


def test_a_file_whose_name_is_no_utf8_is_sent_under_a_readable_one() -> None:
    upload = Upload.of(Pipe(os.fsdecode(b"caf\xe9.wav")), {})  # type: ignore[arg-type]
    assert b'filename="caf?.wav"' in next(upload.chunks())


@pytest.mark.parametrize(
    "problem",
    [
        JobFailed("j1", "timeout", "It took too long."),
        StillRunning("j1"),
        TooManyRequests("Full.", status=429, code="queue_full", retry_after_s=3.0),
        GatewayUnreachable("Away."),
    ],
)
def test_exceptions_survive_pickle_and_a_result_backend(problem: WhisperfleetError) -> None:
    again = pickle.loads(pickle.dumps(problem))  # noqa: S301
    assert (type(again), str(again), again.__dict__) == (type(problem), str(problem), problem.__dict__)
    stored = json.loads(json.dumps(problem.args))
    again = type(problem)(*stored)
    assert (str(again), again.__dict__) == (str(problem), problem.__dict__)
