from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from gateway_harness import MODEL, Stage, stage, until, window_result
from journal_harness import BehindAtFirst

from whisper_contracts import names
from whisper_contracts.failures import FailureReason
from whisper_contracts.messages import Attempt
from whisper_dispatcher.gateway.events import QueuePlace
from whisper_dispatcher.jetstream.streams import JetStream, Stored
from whisper_dispatcher.jobs.clients import revoke_client


@pytest.fixture
async def on(nats_url: str) -> AsyncIterator[Stage]:
    async with stage(nats_url, keep_alive_s=0.1) as running:
        yield running


@dataclass(frozen=True)
class Event:
    id: int
    name: str
    data: dict[str, Any]


def parsed(text: str) -> list[Event]:
    blocks = [
        dict(line.split(": ", 1) for line in block.split("\n")) for block in text.split("\n\n") if "id: " in block
    ]
    return [Event(int(block["id"]), block["event"], json.loads(block["data"])) for block in blocks]


async def followed(on: Stage, job: str, last_id: int | None = None, query: str = "") -> httpx.Response:
    headers = {"Last-Event-ID": str(last_id)} if last_id is not None else {}
    return await on.http.get(f"/v1/jobs/{job}/events{query}", headers=headers)


async def test_a_finished_job_tells_its_whole_story_and_ends(on: Stage) -> None:
    on.stand_in.texts = ["One.", "Two."]
    job = await on.submit()
    await on.final(job)
    answer = await followed(on, job)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = parsed(answer.text)
    assert [event.name for event in events] == ["accepted", "planned", "window", "window", "completed"]
    assert [event.id for event in events] == sorted(event.id for event in events)
    assert [(e.data["done"], e.data["total"]) for e in events if e.name == "window"] == [(1, 2), (2, 2)]


@pytest.mark.parametrize("missing", ["state", "window"])
async def test_the_story_is_read_again_from_a_replica_that_is_behind(on: Stage, missing: str) -> None:
    """Without the final state in it, it never ended."""
    job = await on.submit()
    await on.final(job)
    subjects = {
        "state": names.state_subject(on.client, job),
        "window": names.window_result_subject(MODEL, on.client, job, 0),
    }
    on.gateway._jetstream = BehindAtFirst(on.gateway.jetstream, subjects[missing])
    async with asyncio.timeout(10):
        events = parsed((await followed(on, job)).text)
    assert [event.name for event in events] == ["accepted", "planned", "window", "completed"]


async def test_events_of_a_running_job_come_until_its_end(on: Stage) -> None:
    on.stand_in.texts = ["One.", "Two."]
    gates = on.stand_in.after_window = {0: asyncio.Event(), 1: asyncio.Event()}
    job = await on.submit()
    following = asyncio.create_task(followed(on, job))
    await until(lambda: job in on.gateway.feed._listeners)
    attempt = Attempt(generation=0, attempts=1, reason=FailureReason.TIMEOUT, retry_at=time.time())
    await on.jetstream.publish(names.attempt_subject(MODEL, on.client, job, 0), attempt.encode())
    await until(lambda: bool((view := on.gateway.index.get(job)) and view.attempts))
    # That a worker has begun is no failure, and tells none a second time.
    for index, before in ((0, attempt), (1, attempt.model_copy(update={"attempts": 0}))):
        begun = before.model_copy(update={"begun": 1})
        await on.jetstream.publish(names.attempt_subject(MODEL, on.client, job, index), begun.encode())
    gates[0].set()
    gates[1].set()
    answer = await following
    events = parsed(answer.text)
    assert [event.name for event in events] == ["accepted", "planned", "attempt", "window", "window", "completed"]
    assert events[2].data["reason"] == "timeout"


class WrittenMeanwhile(JetStream):
    """What comes while the story is read: a window's result, and then an attempt in the place of one that is known."""

    def __init__(self, on: Stage, job: str) -> None:
        super().__init__(on.jetstream.client)
        self._on = on
        self._job = job

    async def get_all_last(self, stream: str, subjects: list[str]) -> list[Stored]:
        client, attempt = (
            self._on.client,
            Attempt(generation=0, attempts=2, reason=FailureReason.TIMEOUT, retry_at=time.time()),
        )
        await self.publish(names.window_result_subject(MODEL, client, self._job, 0), window_result(0, "One.").encode())
        await self.publish(names.attempt_subject(MODEL, client, self._job, 1), attempt.encode())
        return await super().get_all_last(stream, subjects)


async def test_no_window_is_missing_that_came_while_the_story_was_read(on: Stage) -> None:
    on.stand_in.texts = ["One.", "Two."]
    gates = on.stand_in.after_window = {0: asyncio.Event(), 1: asyncio.Event()}
    job = await on.submit()
    attempt = Attempt(generation=0, attempts=1, reason=FailureReason.TIMEOUT, retry_at=time.time())
    await on.jetstream.publish(names.attempt_subject(MODEL, on.client, job, 1), attempt.encode())
    await until(lambda: bool((view := on.gateway.index.get(job)) and view.attempts))
    on.gateway._jetstream, own = WrittenMeanwhile(on, job), on.gateway._jetstream
    following = asyncio.create_task(followed(on, job))
    await until(lambda: bool((view := on.gateway.index.get(job)) and view.done))
    on.gateway._jetstream = own
    for gate in gates.values():
        gate.set()
    windows = [event.data["window"] for event in parsed((await following).text) if event.name == "window"]
    assert windows == [0, 1]


async def test_a_worker_of_another_queue_tells_no_events(on: Stage) -> None:
    on.stand_in.texts = ["One."]
    gate = on.stand_in.after_window[0] = asyncio.Event()
    job = await on.submit()
    following = asyncio.create_task(followed(on, job))
    await until(lambda: job in on.gateway.feed._listeners)
    attempt = Attempt(generation=0, attempts=1, reason=FailureReason.TIMEOUT, retry_at=time.time())
    await on.jetstream.publish(names.attempt_subject("evil", on.client, job, 0), attempt.encode())
    forged = window_result(0, "Forged.")
    await on.jetstream.publish(names.window_result_subject("evil", on.client, job, 0), forged.encode())
    gate.set()
    assert [event.name for event in parsed((await following).text)] == ["accepted", "planned", "window", "completed"]
    [window] = [e.data for e in parsed((await followed(on, job, query="?detail=true")).text) if e.name == "window"]
    assert [segment["text"] for segment in window["segments"]] == ["One."]


async def test_following_resumes_after_the_last_event(on: Stage) -> None:
    on.stand_in.texts = ["One.", "Two.", "Three."]
    job = await on.submit()
    await on.final(job)
    all_events = parsed((await followed(on, job)).text)
    rest = parsed((await followed(on, job, all_events[2].id)).text)
    assert rest == all_events[3:]
    assert rest[0].data["done"] == 2


async def test_after_the_final_event_there_is_nothing_to_come_back_for(on: Stage) -> None:
    """204 keeps an EventSource from connecting again and again."""
    job = await on.submit()
    await on.final(job)
    last = parsed((await followed(on, job)).text)[-1].id
    assert (await followed(on, job, last)).status_code == 204


async def test_comments_keep_an_idle_stream_open(on: Stage) -> None:
    on.stand_in.after_plan.clear()
    job = await on.submit()
    following = asyncio.create_task(followed(on, job))
    await until(lambda: b": keep-alive\n\n" in on.app.said)
    on.stand_in.after_plan.set()
    assert parsed((await following).text)[-1].name == "completed"


async def test_a_cancelled_job_says_so(on: Stage) -> None:
    on.stand_in.after_plan.clear()
    job = await on.submit()
    following = asyncio.create_task(followed(on, job))
    await until(lambda: job in on.gateway.feed._listeners)
    await on.http.delete(f"/v1/jobs/{job}")
    last = parsed((await following).text)[-1]
    assert (last.name, last.data["reason"]) == ("cancelled", "cancelled")


async def test_a_gateway_that_ends_ends_its_streams(on: Stage) -> None:
    on.stand_in.after_plan.clear()
    job = await on.submit()
    following = asyncio.create_task(followed(on, job))
    await until(lambda: job in on.gateway.feed._listeners)
    on.gateway.draining.set()
    assert [event.name for event in parsed((await following).text)] == ["accepted"]


async def test_a_revoked_key_ends_the_streams_that_are_open(on: Stage) -> None:
    on.stand_in.after_plan.clear()
    on.http.headers["X-API-Key"] = key = await on.new_key()
    client = on.gateway.clients.find(key)
    assert client
    job = await on.submit()
    following = asyncio.create_task(followed(on, job))
    await until(lambda: job in on.gateway.feed._listeners)
    await revoke_client(on.jetstream, client.client)
    answer = await asyncio.wait_for(following, 1)
    assert [event.name for event in parsed(answer.text)] == ["accepted"]
    assert (await followed(on, job)).status_code == 401


async def test_windows_come_with_their_text_when_it_is_asked_for(on: Stage) -> None:
    on.stand_in.texts = ["One.", "Two."]
    job = await on.submit()
    await on.final(job)
    windows = [e.data for e in parsed((await followed(on, job, query="?detail=true")).text) if e.name == "window"]
    assert [[segment["text"] for segment in window["segments"]] for window in windows] == [["One."], ["Two."]]
    assert windows[1]["segments"][0]["start"] >= windows[0]["segments"][0]["end"]
    assert "segments" not in (await followed(on, job)).text


async def test_the_place_in_the_queue_is_told_when_it_changes(on: Stage) -> None:
    on.stand_in.after_plan.clear()
    before, job = await on.submit(b"RIFF one"), await on.submit(b"RIFF two")
    await until(lambda: on.gateway.index.get(job) is not None)
    view = on.gateway.index.get(job)
    assert view
    place = QueuePlace(on.gateway.index, view)
    first = told_position(place.write())
    assert first >= 1
    assert place.write() == ""
    await on.http.delete(f"/v1/jobs/{before}")
    await until(lambda: (earlier := on.gateway.index.get(before)) is not None and earlier.is_final)
    assert told_position(place.write()) == first - 1


def told_position(text: str) -> int:
    name, data, *_ = text.split("\n")
    assert name == "event: queue"
    return int(json.loads(data.removeprefix("data: "))["position"])
