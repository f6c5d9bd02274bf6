"""What is there once everything is quiet: by the API, in the journal, in the queue, on the machine."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from chaos.client import Client, Upload
from chaos.verdict import FINAL_STATES, SeenJob
from whisper_contracts import names
from whisper_contracts.names import parse_job_subject
from whisper_dispatcher.jetstream.streams import JetStream

POLL_S = 0.5
AT_ONCE = 8
WORK_STREAMS = (names.PLAN_STREAM, names.WINDOWS_STREAM, names.HOOKS_STREAM)


async def most_final(client: Client, share: float, limit_s: float) -> None:
    """Returns when so many jobs are final, and at the limit."""
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            while True:
                jobs = (await client.listed()).values()
                if sum(job["state"] in FINAL_STATES for job in jobs) >= share * len(jobs):
                    return
                await asyncio.sleep(POLL_S)


async def until_still(client: Client, stuck_after_s: float) -> None:
    """Returns when every job is final, or when not one has moved for so long."""
    before: list[Any] = []
    moved_at = time.monotonic()
    while time.monotonic() - moved_at < stuck_after_s:
        jobs = (await client.listed()).values()
        if all(job["state"] in FINAL_STATES for job in jobs):
            return
        now = [(job["id"], job["state"], job["windows"]["done"]) for job in jobs]
        if now != before:
            before, moved_at = now, time.monotonic()
        await asyncio.sleep(POLL_S)


async def work_left(jetstream: JetStream, limit_s: float) -> dict[str, int]:
    """Messages and unacknowledged deliveries that are still there at the limit."""
    deadline = time.monotonic() + limit_s
    while True:
        left = await _work(jetstream)
        if not any(left.values()) or time.monotonic() > deadline:
            return left
        await asyncio.sleep(POLL_S)


async def _work(jetstream: JetStream) -> dict[str, int]:
    left: dict[str, int] = {}
    for stream in WORK_STREAMS:
        info = await jetstream.api(f"STREAM.INFO.{stream}")
        left[f"stream {stream}"] = int(info["state"]["messages"])
        consumers = await jetstream.api(f"CONSUMER.LIST.{stream}")
        for consumer in consumers["consumers"]:
            left[f"unacknowledged of {consumer['name']}"] = int(consumer["num_ack_pending"])
    return left


async def journal_counts(jetstream: JetStream) -> dict[str, dict[str, int]]:
    """How many messages of each kind, by job."""
    subjects = await jetstream.subjects(names.JOURNAL_STREAM, names.JOB_SUBJECTS)
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for subject, messages in subjects.items():
        written = parse_job_subject(subject)
        kind = written.kind if written.window is None else f"{written.kind}.{written.window}"
        counts[written.job][kind] = messages
    return counts


async def see_jobs(
    client: Client,
    uploads: Sequence[Upload],
    undisturbed: Mapping[str, str],
    listed: Mapping[str, Mapping[str, Any]],
    journal: Mapping[str, Mapping[str, int]],
) -> list[SeenJob]:
    """undisturbed: text by the name of the recording."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def see(upload: Upload) -> SeenJob:
        async with limit:
            return await _see(client, upload, undisturbed[upload.recording.name], listed, journal)

    return list(await asyncio.gather(*(see(upload) for upload in uploads)))


async def _see(
    client: Client,
    upload: Upload,
    undisturbed: str,
    listed: Mapping[str, Mapping[str, Any]],
    journal: Mapping[str, Mapping[str, int]],
) -> SeenJob:
    facts = SeenJob(upload.key, frozenset(upload.answered_ids), upload.recording.spoken, undisturbed)
    if not upload.answered_ids:
        return facts
    await client.send_again(upload)
    job = min(upload.answered_ids)
    body = await client.job(job)
    state = body.get("state", "")
    is_final = state in FINAL_STATES
    texts = [await client.text(job), await client.text(job)] if state == "completed" else []
    return SeenJob(
        key=upload.key,
        answered_ids=frozenset(upload.answered_ids),
        spoken=upload.recording.spoken,
        undisturbed=undisturbed,
        state=state,
        reason=str(body.get("message") or ""),
        listed_state=str(listed.get(job, {}).get("state", "")),
        last_events=tuple(e for e in await client.events(job) if e in FINAL_STATES) if is_final else (),
        texts=tuple(text for text in texts if text is not None),
        journal=journal.get(job, {}),
    )
