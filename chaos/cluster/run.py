"""One run from beginning to end: undisturbed, disturbed, quiet, counted."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from rich.console import Console
from tests.e2e import installation
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.collect import collect
from tests.e2e.cluster.providers import Provider
from tests.e2e.deliveries import queue_admin
from tests.e2e.installation import PLATFORM
from tests.e2e.objects import Objects, own_namespace

from chaos import load, observation, recordings
from chaos.client import Client, Upload, uploads
from chaos.cluster.forwarding import kept_forwarding
from chaos.cluster.killing import Killing, Targets
from chaos.report import Outcome
from chaos.verdict import Leftovers, SeenJob, judge

SERVER = "chaos"
CLIENT = "chaos"
PODS = 2
STUCK_AFTER_S = 180.0
"""Without a move of any job. Longer than on one machine: a pod has to come again first."""
WORK_LIMIT_S = 100.0
"""What a killed NATS has kept of finished work goes in the second round of maintenance: after 60 s at most."""
READY_LIMIT_S = 120.0


async def chaos(cluster: Cluster, provider: Provider, jobs: int, seed: int, console: Console) -> Outcome:
    """Raises ClusterError."""
    began = time.monotonic()

    def tell(line: str) -> None:
        console.print(f"{time.monotonic() - began:6.1f} s  {line}", style="dim", highlight=False, markup=False)

    with own_namespace(cluster) as speech:
        targets = Targets(provider, Objects(cluster, PLATFORM), speech)
        key = await asyncio.to_thread(_prepare, speech)
        killing = Killing(targets, tell)
        async with _client(cluster, key) as client:
            known = recordings.load()
            tell("undisturbed: every recording once")
            calm = await load.undisturbed(client, known)
            tell(f"disturbed: {jobs} uploads")
            sent = uploads(known, jobs, f"chaos-{seed}")
            await load.disturbed(client, sent, killing.run, seed=seed)
            tell("quiet: until every job is final")
            await observation.until_still(client, STUCK_AFTER_S)
            seen, left = await _observe(cluster, client, sent, calm)
        await asyncio.to_thread(speech.wait_ready, SERVER, READY_LIMIT_S)
        verdict = judge(seen, left)
        if not verdict.holds:
            await asyncio.to_thread(tell_what_there_was, cluster, provider, console)
    facts: dict[str, Any] = {
        "kills": dict(killing.kills),
        "tries": sum(upload.tries for upload in sent),
        "refusals": [f"{upload.key}: {upload.refusal}" for upload in sent if upload.refusal],
        "provider": provider.name,
        "pods": PODS,
        "seed": seed,
        "machine": {"cores": os.cpu_count(), "load_at_end": os.getloadavg()[0]},
        "spent_s": round(time.monotonic() - began, 1),
    }
    return Outcome(verdict, facts)


def tell_what_there_was(cluster: Cluster, provider: Provider, console: Console) -> None:
    console.print(f"Objects, events and logs are in {collect(provider.logs(), cluster)}.", highlight=False)


def _prepare(speech: Objects) -> str:
    """A server of several pods and a client; returns the client's key."""
    speech.server(SERVER, {"queue": {"default": True}, "replicas": PODS})
    speech.client(CLIENT, {"quotas": {"requestsPerMinute": 1_000_000}})
    speech.wait_ready(SERVER, READY_LIMIT_S)
    return speech.client_key(CLIENT)


@asynccontextmanager
async def _client(cluster: Cluster, key: str) -> AsyncIterator[Client]:
    async with kept_forwarding(cluster, PLATFORM, installation.GATEWAY, installation.GATEWAY_PORT) as port:
        client = Client(f"http://127.0.0.1:{port}", key)
        try:
            yield client
        finally:
            await client.close()


async def _observe(
    cluster: Cluster, client: Client, sent: Sequence[Upload], calm: dict[str, str]
) -> tuple[list[SeenJob], Leftovers]:
    async with queue_admin(cluster) as jetstream:
        work = await observation.work_left(jetstream, WORK_LIMIT_S)
        journal = await observation.journal_counts(jetstream)
    listed = await client.listed()
    seen = await observation.see_jobs(client, sent, calm, listed, journal)
    own = {job for upload in sent for job in upload.answered_ids}
    # The undisturbed run's jobs are the only others of this client.
    foreign = tuple(sorted(listed.keys() - own))[: max(0, len(listed) - len(own) - len(calm))]
    return seen, Leftovers(foreign, work)
