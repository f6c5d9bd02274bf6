"""What an operator is told of the whole fleet."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from gateway_harness import Stage, stage, until

from whisper_contracts.messages import JobRecord, TranscribeOptions
from whisper_dispatcher.gateway.fleet import Depth, DepthHistory, depth_by_model, depth_of
from whisper_dispatcher.jobs.clients import Quotas
from whisper_dispatcher.jobs.index import JobIndex, JobView


@pytest.fixture
async def on(nats_url: str) -> AsyncIterator[Stage]:
    async with stage(nats_url) as running:
        yield running


def view(job: str, model: str, total: int | None = None, done: int = 0) -> JobView:
    options = TranscribeOptions(model=model)
    record = JobRecord(job=job, client="c", **{"class": "bulk"}, options=options, created_at=0, size_bytes=1, sha256="")
    return JobView("c", job, record=record, total=total, done=set(range(done)))


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
