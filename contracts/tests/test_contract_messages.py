"""Processes one version apart must understand each other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from whisper_contracts.failures import RETRYABLE, SENTENCES, FailureReason, JobFailed
from whisper_contracts.messages import (
    Attempt,
    ClientRecord,
    DeadLetter,
    HookTask,
    JobRecord,
    JobState,
    Message,
    ModelRecord,
    Plan,
    PlanTask,
    Segment,
    ServerStatus,
    ServerWork,
    TranscribeOptions,
    WindowFailure,
    WindowResult,
    WindowSpan,
    WindowTask,
    Word,
    WorkerStatus,
)

OPTIONS = TranscribeOptions(model="base.en", language="en", prompt="Juliet", words=True, mode="sequential")
FAILURE: dict[str, Any] = {"reason": FailureReason.TIMEOUT, "message": "Too slow.", "attempts": 5, "generation": 1}

MESSAGES: list[Message] = [
    OPTIONS,
    JobRecord(
        job="j",
        client="c",
        class_="bulk",
        options=OPTIONS,
        created_at=1.5,
        size_bytes=7,
        sha256="ab",
        audio_object="j",
        callback_url="https://example.com/",
    ),
    PlanTask(job="j", client="c", generation=2),
    Plan(duration_s=40.0, windows=(WindowSpan(start_s=0.0, end_s=29.5),), class_="bulk"),
    WindowTask(job="j", client="c", index=1, total=2, start_s=29.5, end_s=40.0, options=OPTIONS),
    WindowResult(
        index=1,
        language="en",
        segments=(Segment(start_s=0.0, end_s=1.0, text="hi", words=(Word(word="hi", start_s=0.0, end_s=0.5),)),),
    ),
    Attempt(retry_at=9.0, begun=2, **FAILURE),
    WindowFailure(index=3, **FAILURE),
    JobState(state="failed", at=3.0, reason=FailureReason.INTERNAL, message="It broke."),
    DeadLetter(job="j", client="c", at=1.0, window=3, **FAILURE),
    HookTask(job="j", client="c", url="https://example.com/"),
    WorkerStatus(
        worker="pod-1",
        model="base.en",
        software="0.1.0",
        uptime_s=7.0,
        servers=(
            ServerStatus(doing="busy", device="CUDA0", work=ServerWork(job="j", window=3, busy_s=0.5)),
            ServerStatus(doing="idle"),
        ),
    ),
    ClientRecord(client="c", name="tester", models=("base.en",)),
    ModelRecord(name="base.en", aliases=("whisper-1",), languages=("en",)),
]

# What the first version wrote, as it lies in somebody's journal. Only ever add to this list.
FIRST_VERSION: dict[type[Message], str] = {
    JobRecord: (
        '{"version":1,"job":"j","client":"c","class":"interactive","options":{"model":"base.en"},'
        '"created_at":1.0,"size_bytes":3,"sha256":"ab"}'
    ),
    PlanTask: '{"version":1,"job":"j","client":"c"}',
    Plan: '{"version":1,"duration_s":2.0,"windows":[{"start_s":0.0,"end_s":2.0}],"class":"interactive"}',
    WindowTask: (
        '{"version":1,"job":"j","client":"c","index":0,"total":1,"start_s":0.0,"end_s":2.0,'
        '"options":{"model":"base.en"}}'
    ),
    WindowResult: '{"version":1,"index":0,"segments":[{"start_s":0.0,"end_s":1.0,"text":"hi"}]}',
    Attempt: '{"version":1,"generation":0,"attempts":1,"reason":"timeout","retry_at":2.0}',
    WindowFailure: '{"version":1,"generation":0,"index":0,"attempts":5,"reason":"internal","message":"m"}',
    JobState: '{"version":1,"state":"completed","at":2.0}',
    DeadLetter: '{"version":1,"job":"j","client":"c","reason":"internal","message":"m","at":2.0}',
    HookTask: '{"version":1,"job":"j","client":"c","url":"https://example.com/"}',
    WorkerStatus: (
        '{"version":1,"worker":"pod-1","model":"base.en","uptime_s":1.0,'
        '"servers":[{"version":1,"doing":"busy","work":{"version":1,"job":"j","window":0,"busy_s":0.0}}]}'
    ),
    ClientRecord: '{"version":1,"client":"c","name":"n"}',
    ModelRecord: '{"version":1,"name":"base.en"}',
}


def _ids(message: Message) -> str:
    return type(message).__name__


@pytest.mark.parametrize("message", MESSAGES, ids=_ids)
def test_a_message_comes_back_as_it_was_sent(message: Message) -> None:
    assert type(message).decode(message.encode()) == message


@pytest.mark.parametrize("message", MESSAGES, ids=_ids)
def test_fields_of_the_next_version_are_ignored(message: Message) -> None:
    newer = json.loads(message.encode()) | {"version": 2, "field_of_tomorrow": {"nested": [1]}}
    read = type(message).decode(json.dumps(newer))
    assert read.version == 2
    assert read.model_copy(update={"version": 1}) == message


@pytest.mark.parametrize("kind", FIRST_VERSION, ids=lambda kind: kind.__name__)
def test_what_the_first_version_wrote_can_be_read(kind: type[Message]) -> None:
    assert kind.decode(FIRST_VERSION[kind]).version == 1


def test_every_message_that_crosses_names_its_version() -> None:
    assert all(json.loads(message.encode())["version"] == 1 for message in MESSAGES)


def test_every_failure_reason_has_a_sentence_that_ends() -> None:
    assert set(SENTENCES) == set(FailureReason)
    assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in SENTENCES.values())


def test_only_faults_of_the_service_are_tried_again() -> None:
    assert {str(reason) for reason in RETRYABLE} == {"server_unavailable", "server_error", "timeout", "internal"}


def test_a_failure_without_words_says_its_reasons_sentence() -> None:
    assert JobFailed(FailureReason.BAD_AUDIO).message == SENTENCES[FailureReason.BAD_AUDIO]
    assert JobFailed(FailureReason.BAD_AUDIO, "It is a picture.").message == "It is a picture."
