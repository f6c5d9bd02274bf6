"""The disk of the queue is full and has room again, under the real pipeline."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from chaos import queue_disk

from whisper_dispatcher.jetstream.permissions import ROLES
from whisper_dispatcher.jetstream.topology import Limits
from whisper_dispatcher.jobs.clients import new_key
from whisper_dispatcher.local.commands import Speech
from whisper_dispatcher.local.data_folder import Queue, open_folder
from whisper_dispatcher.local.nats_server import MIB
from whisper_dispatcher.local.pipeline import Pipeline, choose_ports
from whisper_dispatcher.local.queue_watch import ROOM_BYTES, remedy
from whisper_dispatcher.local.tools import nats_server_path
from whisper_dispatcher.worker import stub_server
from whisper_models.bundled import demo_model_path, sample_path

FULL = "JetStream stream 'SPEECH > JOURNAL' write error: write 1.blk: no space left on device"
LIMITS = Limits(windows_bytes=64 * MIB, journal_bytes=64 * MIB, audio_bytes=64 * MIB)
WAIT_S = 90.0

pytestmark = pytest.mark.timeout(280)


@pytest.mark.parametrize(
    ("error", "free_bytes", "wanted"),
    [("", 0, "none"), ("", ROOM_BYTES, "none"), (FULL, ROOM_BYTES - 1, "free the disk"), (FULL, ROOM_BYTES, "restart")],
)
def test_a_server_that_cannot_write_is_started_again_once_there_is_room(
    error: str, free_bytes: int, wanted: str
) -> None:
    assert remedy(error, free_bytes) == wanted


@pytest.fixture
async def filled(tmp_path: Path) -> AsyncIterator[tuple[Pipeline, list[str]]]:
    """A pipeline whose queue has a disk of its own, and what it has told."""
    queue = Queue({role: secrets.token_urlsafe(24) for role in ROLES}, new_key(), LIMITS)
    speech = Speech("demo.en-q5_0", demo_model_path(), stub_server.write_program(tmp_path), 1)
    told: list[str] = []
    with open_folder(tmp_path / "data") as folder:
        try:
            disk = queue_disk.mounted(folder.store)
            disk.__enter__()
        except queue_disk.NoDisk as error:
            pytest.skip(str(error))
        pipeline = Pipeline(folder, queue, choose_ports(0), speech, nats_server_path(), told.append)
        try:
            await pipeline.start()
            yield pipeline, told
        finally:
            await pipeline.kill()
            disk.__exit__(None, None, None)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not is_so():  # noqa: ASYNC110  another process changes it
            await asyncio.sleep(0.05)


async def test_jobs_are_taken_again_once_a_full_disk_has_room(
    filled: tuple[Pipeline, list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    pipeline, told = filled
    note = {"file": sample_path("hello.wav").read_bytes()}
    key = {"X-API-Key": pipeline.queue.api_key}
    async with httpx.AsyncClient(base_url=pipeline.url, headers=key, timeout=60, trust_env=False) as http:
        queue_disk.fill(pipeline.folder.store)
        refused = await http.post("/v1/jobs", files=note)
        assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
        await until(lambda: bool(told))
        queue_disk.free(pipeline.folder.store)
        await until(lambda: len(told) == 2)
        async with asyncio.timeout(WAIT_S):
            while (answer := await http.post("/transcribe", files=note)).status_code == 503:  # noqa: ASYNC110  as a client does
                await asyncio.sleep(0.2)
    assert answer.json() == {"transcription": "hello world one two three"}
    assert told == [
        f"The disk of {pipeline.folder.store} is full: no job is taken until 64 MB are free there",
        "nats-server could not write; there is room now, so it is started again",
    ]
    assert capfd.readouterr() == ("", ""), "beside these two lines"
