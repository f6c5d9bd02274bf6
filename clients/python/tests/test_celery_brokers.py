"""The Celery task with real brokers, real workers and the real pipeline."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import broker_harness
import pytest
from broker_harness import Worker
from celery import Celery
from celery.exceptions import TaskRevokedError
from celery.result import AsyncResult
from fleet_harness import TEXT, Fleet, recording, until

from whisperfleet.celery import TASK
from whisperfleet.client import Client, JobFailed

pytestmark = pytest.mark.timeout(400)

ROOT = Path(__file__).resolve().parents[3]
TASKS = 100
LIMIT_S = 120.0
VISIBILITY_S = 4
SURELY_LOST_S = 20.0
"""Longer than Redis keeps a dead worker's messages, and the longest wait between two looks."""
REDIS_OPTIONS = {"visibility_timeout": VISIBILITY_S, "unacked_restore_interval": 1, "unacked_restore_throttle": 1}


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with broker_harness.redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
def rabbitmq_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with broker_harness.rabbitmq(tmp_path_factory.mktemp("rabbitmq")) as url:
        yield url


@dataclass(frozen=True, slots=True)
class Site:
    """A team's own project: the document's example, with their broker."""

    notes: ModuleType
    worker: Worker
    fleet: Fleet
    folder: Path

    @property
    def app(self) -> Celery:
        app: Celery = self.notes.app
        return app

    def note(self, duration_s: float) -> str:
        path = self.folder / f"{duration_s:.2f}.wav"
        path.write_bytes(recording(duration_s))
        return str(path)

    def transcribe(self, path: str, task_id: str | None = None, /, **options: Any) -> AsyncResult:
        return self.app.send_task(TASK, [path], options, task_id=task_id)

    def lose(self, result: AsyncResult) -> int:
        """Takes a task's messages from Redis as its transport does, and lets them die with the worker."""
        with self.app.connection().channel() as channel:
            waiting = [each for each in channel.client.lrange("celery", 0, -1) if result.id.encode() in each]
            taken = [tag for tag, each in channel.client.hgetall("unacked").items() if result.id.encode() in each]
            lost = [channel.client.lrem("celery", 0, each) for each in waiting]
            return sum(lost) + (channel.client.hdel("unacked", *taken) if taken else 0)


@pytest.fixture(scope="module")
def redis_site(redis_url: str, shared_fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    yield from site(tmp_path_factory.mktemp("on-redis"), f"{redis_url}/0", f"{redis_url}/1", shared_fleet)


@pytest.fixture(scope="module")
def rabbitmq_site(
    rabbitmq_url: str, redis_url: str, shared_fleet: Fleet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    yield from site(tmp_path_factory.mktemp("on-rabbitmq"), rabbitmq_url, f"{redis_url}/2", shared_fleet)


@pytest.fixture
def on_redis(redis_site: Site) -> Site:
    redis_site.app.set_current()
    return redis_site


@pytest.fixture
def on_rabbitmq(rabbitmq_site: Site) -> Site:
    rabbitmq_site.app.set_current()
    return rabbitmq_site


def site(folder: Path, broker: str, backend: str, fleet: Fleet) -> Iterator[Site]:
    name = folder.name.replace("-", "_")
    options = f"app.conf.broker_transport_options = {REDIS_OPTIONS}\n" if broker.startswith("redis") else ""
    source = example().replace("redis://localhost:6379/0", broker).replace("redis://localhost:6379/1", backend)
    (folder / f"{name}.py").write_text(f"{source}\n{options}")
    worker = Worker(folder, name, os.environ | {"WHISPERFLEET_URL": fleet.url, "WHISPERFLEET_API_KEY": fleet.key})
    worker.start()
    try:
        yield Site(loaded(folder / f"{name}.py"), worker, fleet, folder)
    finally:
        worker.kill()


def example() -> str:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/celery.md").read_text(), re.DOTALL)
    return str(code)


def loaded(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec and spec.loader
    module = sys.modules[file.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def jobs_since(fleet: Fleet, before: int) -> list[dict[str, object]]:
    found = fleet.jobs()
    return found[: len(found) - before]


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_workers_and_gateway_are_killed_in_turn_and_nothing_is_lost_or_doubled(
    broker: str, request: pytest.FixtureRequest
) -> None:
    site: Site = request.getfixturevalue(f"on_{broker}")
    site.fleet.wait_ready()
    before = len(site.fleet.jobs())
    lengths = [round(1 + i / 100, 2) for i in range(TASKS)]
    results = [site.transcribe(site.note(length)) for length in lengths]

    def done() -> int:
        return sum(result.ready() for result in results)

    for share, victim in ((0.15, "worker"), (0.35, "gateway"), (0.55, "worker"), (0.75, "gateway")):
        until(lambda share=share: done() >= share * TASKS, LIMIT_S)  # type: ignore[misc]
        if victim == "gateway":
            site.fleet.kill("gateway")
        else:
            site.worker.kill()
            site.worker.start()
    if broker == "redis":
        send_lost_again(site, results, lengths)
    transcripts = [result.get(timeout=LIMIT_S) for result in results]
    assert [round(transcript["duration_s"], 2) for transcript in transcripts] == lengths
    assert {transcript["text"] for transcript in transcripts} <= {TEXT}
    jobs = jobs_since(site.fleet, before)
    assert len(jobs) == TASKS
    assert {job["id"] for job in jobs} == {transcript["job"] for transcript in transcripts}
    assert {job["state"] for job in jobs} == {"completed"}
    assert TEXT not in site.worker.log


def send_lost_again(site: Site, results: list[AsyncResult], lengths: list[float]) -> None:
    """As the document has it: what Celery's Redis transport has taken and not noted dies with the worker."""
    deadline = time.monotonic() + SURELY_LOST_S
    while time.monotonic() < deadline and not all(result.ready() for result in results):
        time.sleep(0.1)
    for result, length in zip(results, lengths, strict=True):
        if not result.ready():
            site.transcribe(site.note(length), result.id)


@pytest.mark.parametrize("has_begun", [False, True], ids=["before the job", "while the job runs"])
def test_a_message_that_died_with_its_worker_is_sent_again_and_is_the_same_job(on_redis: Site, has_begun: bool) -> None:
    path, before = on_redis.note(330.0 + has_begun), len(on_redis.fleet.jobs())
    if has_begun:
        result = on_redis.transcribe(path, mode="sequential")
        until(lambda: result.state == "PROGRESS", LIMIT_S)
        on_redis.worker.kill()
    else:
        on_redis.worker.kill()
        result = on_redis.transcribe(path, mode="sequential")
    assert on_redis.lose(result)
    on_redis.worker.start()
    assert on_redis.transcribe(path, result.id, mode="sequential") == result
    assert result.get(timeout=LIMIT_S)["duration_s"] == 330.0 + has_begun
    assert len(jobs_since(on_redis.fleet, before)) == 1


def test_a_pool_process_that_is_killed_loses_nothing(on_redis: Site) -> None:
    results = [on_redis.transcribe(on_redis.note(5 + i / 100)) for i in range(20)]
    until(lambda: any(result.ready() for result in results), LIMIT_S)
    on_redis.worker.kill_pool()
    assert [result.get(timeout=LIMIT_S)["text"] for result in results] == [TEXT] * 20


def test_the_documents_chain_transcribes_summarises_and_notifies(on_redis: Site) -> None:
    result = on_redis.notes.on_upload(on_redis.note(2.5), "ada@example.org")
    assert result.get(timeout=LIMIT_S) == "To ada@example.org: 5 words in 2.5 s: hello world ..."


def test_the_documents_chord_gathers_every_recording_once(on_redis: Site) -> None:
    result = on_redis.notes.at_the_end_of_the_day([on_redis.note(length) for length in (1.5, 40.0, 2.0)])
    parts = result.get(timeout=LIMIT_S).split(" | ")
    assert [part.count("hello") for part in parts] == [1, 2, 1]


def test_progress_is_the_tasks_state_and_revoking_cancels_the_job(on_redis: Site) -> None:
    path = on_redis.note(1200.0)
    result = on_redis.transcribe(path, mode="sequential")
    until(lambda: result.state == "PROGRESS" and bool(result.info.get("windows_total")), LIMIT_S)
    progress = result.info
    assert progress["windows_total"] >= 40
    assert progress["windows_done"] < progress["windows_total"]
    result.revoke()
    with Client(on_redis.fleet.url, on_redis.fleet.key) as client:
        until(lambda: client.job(progress["job"]).is_final, LIMIT_S)
        assert client.job(progress["job"]).state in ("cancelled", "completed")
        with pytest.raises(TaskRevokedError):
            result.get(timeout=LIMIT_S)


def test_a_waiting_task_holds_no_worker(on_redis: Site) -> None:
    """Three long jobs in front of a pool of two; the short task passes them all."""
    with on_redis.fleet.halted("worker"):
        long = [on_redis.transcribe(on_redis.note(600.0 + i), mode="sequential") for i in range(3)]
        until(lambda: all(result.state == "PROGRESS" for result in long), LIMIT_S)
        assert on_redis.notes.summarise.delay({"text": "a b", "duration_s": 1.0}).get(timeout=LIMIT_S)
        assert [result.ready() for result in long] == [False, False, False]
        for result in long:
            result.revoke()


def test_what_cannot_be_transcribed_fails_at_once_with_its_reason(on_redis: Site) -> None:
    path = on_redis.folder / "letter.txt"
    path.write_text("Dear Ada, this is no recording. " * 20)
    result = on_redis.transcribe(str(path))
    with pytest.raises(JobFailed, match="The file is text") as failure:
        result.get(timeout=LIMIT_S)
    assert failure.value.reason == "bad_audio"
    assert result.state == "FAILURE"


def test_a_message_delivered_again_is_the_same_job(on_redis: Site) -> None:
    before = len(on_redis.fleet.jobs())
    path = on_redis.note(3.25)
    for _ in range(2):
        result = on_redis.app.send_task(TASK, [path], task_id="delivered-twice")
    assert result.get(timeout=LIMIT_S)["duration_s"] == 3.25
    on_redis.app.send_task(TASK, [path], task_id="delivered-twice")
    until(lambda: on_redis.worker.log.count("delivered-twice] received") >= 3, LIMIT_S)
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        assert len(jobs_since(on_redis.fleet, before)) == 1
