"""A journal that is full of uploads must still take how they end, or it stays full for ever."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gateway_harness import NatsServer, Stage, prepare_with, stage, until

from whisper_contracts import names
from whisper_contracts.messages import MAX_INLINE_AUDIO_BYTES
from whisper_dispatcher.gateway.journal_room import LOOK_EVERY_S, UPLOADS_SHARE, has_room
from whisper_dispatcher.jetstream import topology
from whisper_dispatcher.jetstream.streams import connected

MIB = 1024**2
JOURNAL_BYTES = 8 * MIB
NOTE_BYTES = 400_000
PAUSE_S = 0.1


@pytest.mark.parametrize(
    ("used_bytes", "unseen", "max_bytes", "wanted"),
    [
        (0, 0, 10 * MIB, True),
        (8 * MIB - 1, 0, 10 * MIB, True),
        (8 * MIB, 0, 10 * MIB, False),
        (0, 8 * MIB // MAX_INLINE_AUDIO_BYTES - 1, 10 * MIB, True),
        (0, 8 * MIB // MAX_INLINE_AUDIO_BYTES, 10 * MIB, False),
        (8 * MIB, 0, -1, True),
    ],
)
def test_uploads_end_at_a_share_of_the_journal(used_bytes: int, unseen: int, max_bytes: int, wanted: bool) -> None:
    assert has_room(used_bytes, unseen, max_bytes) is wanted


@pytest.fixture
async def tiny(tmp_path: Path) -> AsyncIterator[Stage]:
    """A gateway whose journal holds twenty long notes."""
    server = NatsServer(tmp_path)
    server.start()
    try:
        async with connected(server.url, name="test") as jetstream:
            await prepare_with(jetstream, topology.Limits(journal_bytes=JOURNAL_BYTES))
        async with stage(server.url) as on:
            yield on
    finally:
        server.kill()


async def upload(on: Stage, size_bytes: int = NOTE_BYTES) -> str:
    """The new job's id, or the code of the refusal."""
    answer = await on.http.post("/v1/jobs", files={"file": os.urandom(size_bytes)})
    if answer.status_code == 202:
        return str(answer.json()["job"]["id"])
    assert int(answer.headers["retry-after"]) > 0
    return str(answer.json()["error"]["code"])


async def journal_bytes(on: Stage) -> int:
    info = await on.jetstream.api(f"STREAM.INFO.{names.JOURNAL_STREAM}")
    return int(info["state"]["bytes"])


async def test_uploads_at_one_moment_are_counted_before_the_journal_shows_them(tiny: Stage) -> None:
    tiny.stand_in.after_plan.clear()
    answers = await asyncio.gather(*(upload(tiny) for _ in range(40)))
    assert "queue_full" in answers
    assert len(set(answers)) > 5
    assert await journal_bytes(tiny) < UPLOADS_SHARE * JOURNAL_BYTES


async def test_a_journal_full_of_uploads_takes_the_end_of_every_job(tiny: Stage) -> None:
    finished = await upload(tiny)
    await tiny.final(finished)
    tiny.stand_in.after_plan.clear()
    running, unwanted = await upload(tiny), await upload(tiny)
    # Down to small ones, which fit where no long note does.
    waiting = [job for size_bytes in (NOTE_BYTES, 1_000, 8) for job in await fill(tiny, size_bytes)]
    cancelled = await tiny.http.delete(f"/v1/jobs/{unwanted}")
    assert cancelled.status_code == 200, cancelled.text
    assert cancelled.json()["state"] == "cancelled"
    assert (await tiny.http.delete(f"/v1/jobs/{finished}")).status_code == 204
    tiny.stand_in.after_plan.set()
    for job in (running, *waiting):
        await tiny.final(job)
        assert (await tiny.http.get(f"/v1/jobs/{job}/result")).json()["text"] == "Hello there."
        assert (await tiny.http.delete(f"/v1/jobs/{job}")).status_code == 204
    await until(lambda: tiny.gateway.journal_room.is_left)
    assert await upload(tiny) != "queue_full"


async def fill(on: Stage, size_bytes: int) -> list[str]:
    """Until nothing has been taken for some looks at the journal; returns what was."""
    jobs: list[str] = []
    refused = 0
    while refused * PAUSE_S < 2.5 * LOOK_EVERY_S:
        answer = await upload(on, size_bytes)
        if answer == "queue_full":
            refused += 1
            await asyncio.sleep(PAUSE_S)
        else:
            refused = 0
            jobs.append(answer)
    return jobs
