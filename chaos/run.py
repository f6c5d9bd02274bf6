"""One run from beginning to end: undisturbed, disturbed, quiet, counted."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from rich.console import Console

from chaos import load, observation, processes, queue_disk, recordings
from chaos.client import Client, Upload, uploads
from chaos.disturbance import Disturbance
from chaos.report import Outcome
from chaos.verdict import Leftovers, SeenJob, judge
from whisper_dispatcher.jetstream.permissions import ROLES
from whisper_dispatcher.jetstream.topology import Limits
from whisper_dispatcher.jobs.clients import new_key
from whisper_dispatcher.local.commands import Speech
from whisper_dispatcher.local.data_folder import DataFolder, Queue, open_folder
from whisper_dispatcher.local.nats_server import MIB
from whisper_dispatcher.local.pipeline import Pipeline, choose_ports
from whisper_dispatcher.local.tools import nats_server_path
from whisper_dispatcher.local.up import prepare_speech
from whisper_models.catalogue import DEMO_MODEL

SERVERS = 2
LOGS = Path("build/chaos-logs")
STUCK_AFTER_S = 100.0
"""Without a move of any job. Deliveries of the dead come again after 15 s, jobs without work after 60."""
WORK_LIMIT_S = 100.0
"""What a killed NATS has kept of finished work goes in the second round of maintenance: after 60 s at most."""
END_LIMIT_S = 5.0
_LIMIT_BYTES = queue_disk.SIZE_MB * MIB // 4


async def chaos(jobs: int, seed: int, speech: Speech, console: Console) -> Outcome:
    """Raises NoDisk."""
    run = secrets.token_hex(8)
    began = time.monotonic()
    tell = _teller(console, began)
    known = recordings.load()
    with open_folder(None) as folder, queue_disk.mounted(folder.store):
        processes.mark(run)
        async with _running(folder, speech, tell) as pipeline:
            client = Client(pipeline.url, pipeline.queue.api_key)
            try:
                tell("undisturbed: every recording once")
                calm = await load.undisturbed(client, known)
                tell(f"disturbed: {jobs} uploads")
                sent = uploads(known, jobs, f"chaos-{seed}")
                disturbance = Disturbance(pipeline, folder.store, run, tell)
                await load.disturbed(client, sent, disturbance.run, seed=seed)
                tell("quiet: until every job is final")
                await observation.until_still(client, STUCK_AFTER_S)
                seen, left = await _observe(pipeline, client, sent, calm, run)
            finally:
                await client.close()
        left = Leftovers(left.foreign_jobs, left.work, (*left.processes, *await _left_processes(run)))
    verdict = judge(seen, left)
    facts = {
        "kills": dict(disturbance.kills),
        "disk_full_s": round(disturbance.disk_full_s, 1),
        "tries": sum(upload.tries for upload in sent),
        "refusals": [f"{upload.key}: {upload.refusal}" for upload in sent if upload.refusal],
        "recordings": {name: sum(upload.recording.name == name for upload in sent) for name in known},
        "seed": seed,
        "machine": {"cores": os.cpu_count(), "load_at_end": os.getloadavg()[0]},
        "spent_s": round(time.monotonic() - began, 1),
    }
    return Outcome(verdict, facts)


def prepared(console: Console) -> Speech:
    return prepare_speech(DEMO_MODEL, SERVERS, console)


def _teller(console: Console, began: float) -> Callable[[str], None]:
    def tell(line: str) -> None:
        console.print(f"{time.monotonic() - began:6.1f} s  {line}", style="dim", highlight=False, markup=False)

    return tell


@asynccontextmanager
async def _running(folder: DataFolder, speech: Speech, tell: Callable[[str], None]) -> AsyncIterator[Pipeline]:
    limits = Limits(windows_bytes=_LIMIT_BYTES, journal_bytes=_LIMIT_BYTES, audio_bytes=_LIMIT_BYTES)
    queue = Queue({role: secrets.token_urlsafe(24) for role in ROLES}, new_key(), limits)
    pipeline = Pipeline(folder, queue, choose_ports(0), speech, nats_server_path(), tell)
    try:
        await pipeline.start()
        yield pipeline
    finally:
        await pipeline.stop()
        await pipeline.kill()
        shutil.rmtree(LOGS, ignore_errors=True)
        shutil.copytree(folder.logs, LOGS)


async def _observe(
    pipeline: Pipeline, client: Client, sent: Sequence[Upload], calm: dict[str, str], run: str
) -> tuple[list[SeenJob], Leftovers]:
    jetstream = await pipeline.admin()
    try:
        work = await observation.work_left(jetstream, WORK_LIMIT_S)
        journal = await observation.journal_counts(jetstream)
    finally:
        await jetstream.close()
    listed = await client.listed()
    seen = await observation.see_jobs(client, sent, calm, listed, journal)
    own = {job for upload in sent for job in upload.answered_ids}
    # The undisturbed run's jobs are the only others.
    foreign = tuple(sorted(listed.keys() - own))[: max(0, len(listed) - len(own) - len(calm))]
    servers = processes.whisper_servers(run)
    spare = tuple(str(server) for server in servers) if len(servers) != SERVERS else ()
    return seen, Leftovers(foreign, work, spare)


async def _left_processes(run: str) -> tuple[str, ...]:
    deadline = time.monotonic() + END_LIMIT_S
    while True:
        left = processes.marked(run)
        if not left or time.monotonic() > deadline:
            return tuple(str(process) for process in left)
        await asyncio.sleep(observation.POLL_S)
