"""What an operator is told of the whole fleet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from gateway_harness import Stage, stage, until

from whisper_contracts import names
from whisper_contracts.messages import (
    HEARTBEAT_S,
    JobRecord,
    ServerStatus,
    ServerWork,
    TranscribeOptions,
    WorkerStatus,
)
from whisper_dispatcher.gateway.fleet import Depth, DepthHistory, depth_by_model, depth_of
from whisper_dispatcher.gateway.workers import MOST_WORKERS, Workers
from whisper_dispatcher.jobs.clients import Quotas
from whisper_dispatcher.jobs.index import JobIndex, JobView, Written


@pytest.fixture
async def on(nats_url: str) -> AsyncIterator[Stage]:
    async with stage(nats_url) as running:
        yield running


def view(job: str, model: str, total: int | None = None, done: int = 0) -> JobView:
    options = TranscribeOptions(model=model)
    record = JobRecord(job=job, client="c", **{"class": "bulk"}, options=options, created_at=0, size_bytes=1, sha256="")
    return JobView("c", job, record=record, total=total, by_model={model: Written(done=set(range(done)))})


def test_depth_counts_jobs_by_their_step_and_the_windows_that_are_left() -> None:
    views = [view("1", "tiny"), view("2", "tiny", total=5, done=2), view("3", "large", total=4)]
    assert depth_of(views) == Depth(queued=1, running=2, windows=7)
    assert depth_by_model(views) == {"large": Depth(0, 1, 4), "tiny": Depth(1, 1, 3)}


def test_the_history_forgets_what_is_older_than_an_hour() -> None:
    history = DepthHistory(JobIndex())
    for _ in range(400):
        history.take()
    assert len(history.as_json()) == 360
    assert history.as_json()[0].keys() == {"at", "queued", "running", "windows"}


async def test_only_an_operator_sees_the_fleet(on: Stage) -> None:
    refused = await on.http.get("/v1/fleet")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "operators_only")


async def test_an_operator_sees_what_waits_and_what_waited(on: Stage) -> None:
    on.stand_in.after_plan.clear()
    job = await on.submit()
    await until(lambda: on.gateway.index.get(job) is not None)
    on.gateway.depths.take()
    headers = {"X-API-Key": await on.new_key(Quotas(operator=True))}
    seen = (await on.http.get("/v1/fleet", headers=headers)).json()
    assert seen["now"]["queued"] + seen["now"]["running"] >= 1
    assert seen["history"][-1]["queued"] + seen["history"][-1]["running"] >= 1
    assert [each["model"] for each in seen["models"]] == ["base.en"]


BUSY = ServerStatus(doing="busy", device="CPU", work=ServerWork(job="j", window=2, busy_s=4.0))


def said(worker: str, model: str = "base.en", **facts: Any) -> tuple[str, bytes]:
    status = WorkerStatus(worker=worker, model=model, software="1.2.3", uptime_s=60.0, **facts)
    return names.worker_subject(model, worker), status.encode()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_each_worker_is_known_by_what_it_said_last_in_this_gateways_time() -> None:
    workers = Workers(Clock())
    workers.hear(*said("b"))
    workers.hear(*said("a"))
    workers.hear(*said("a", servers=(BUSY, ServerStatus(doing="idle", restarts=1)), draining=True))
    first, second = workers.as_json()
    assert second["worker"] == "b"
    assert first == {
        "worker": "a",
        "model": "base.en",
        "version": "1.2.3",
        "started_at": 940.0,
        "draining": True,
        "servers": [
            {"doing": "busy", "device": "CPU", "restarts": 0, "job": "j", "window": 2, "since": 996.0},
            {"doing": "idle", "device": "", "restarts": 1, "job": None, "window": None, "since": None},
        ],
    }


def test_a_worker_that_falls_silent_is_forgotten_and_one_late_beat_does_not_hide_it() -> None:
    clock = Clock()
    workers = Workers(clock)
    workers.hear(*said("silent"))
    clock.now += 2 * HEARTBEAT_S
    workers.hear(*said("speaking"))
    assert len(workers.as_json()) == 2
    clock.now += 2 * HEARTBEAT_S
    assert [each["worker"] for each in workers.as_json()] == ["speaking"]


@pytest.mark.parametrize(
    ("subject", "data"),
    [
        (said("a")[0], said("b")[1]),
        (said("a", model="large")[0], said("a")[1]),
        (said("a")[0], b"no JSON"),
        (said("a")[0], said("a")[1].replace(b"60.0", b"1e999")),
        (said("a")[0], said("a")[1].replace(b"60.0", b"-1")),
        (said("a")[0], said("a", servers=(BUSY,) * 2000)[1]),
    ],
)
def test_what_is_no_workers_word_about_itself_is_not_heard(subject: str, data: bytes) -> None:
    workers = Workers()
    workers.hear(subject, data)
    assert workers.as_json() == []


def test_no_more_workers_are_kept_than_a_fleet_has() -> None:
    workers = Workers()
    for number in range(MOST_WORKERS + 5):
        workers.hear(*said(f"w{number}"))
    workers.hear(*said("w0", draining=True))
    kept = workers.as_json()
    assert len(kept) == MOST_WORKERS
    assert [each["draining"] for each in kept if each["worker"] == "w0"] == [True]


async def test_an_operator_sees_the_workers_that_speak(on: Stage) -> None:
    headers = {"X-API-Key": await on.new_key(Quotas(operator=True))}
    subject, data = said("pod-1", servers=(BUSY,))
    while not on.gateway.workers.as_json():
        await on.jetstream.publish_core(subject, data)
        await on.jetstream.client.flush()
    seen = (await on.http.get("/v1/fleet", headers=headers)).json()
    (worker,) = seen["workers"]
    assert (worker["worker"], worker["model"], worker["version"]) == ("pod-1", "base.en", "1.2.3")
    assert worker["servers"][0]["job"] == "j"
    assert seen["at"] - worker["servers"][0]["since"] == pytest.approx(4, abs=3)
