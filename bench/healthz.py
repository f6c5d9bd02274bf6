"""healthz_p99_ms: how soon the gateway answers a probe with 1,000 jobs queued and its server busy."""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor

from bench import audio, fleet
from bench.figures import Measured, at_most, percentile
from bench.fleet import Fleet

GOALS = (at_most("healthz_p99_ms", 50),)

QUEUED_JOBS = 1000
SPARE_JOBS = 100
"""Some are done while the others are still sent."""
STUB_MS = 1000
CLIENTS = 8
PROBES = 1000


def measure() -> Measured:
    return asyncio.run(_measure())


async def _measure() -> Measured:
    async with fleet.running(slots=1, delay_ms=STUB_MS) as running:
        note = audio.note_wav()
        await asyncio.to_thread(_submit, running, note)
        # The last of a class has all others before it.
        last = await asyncio.to_thread(running.submit, note, prompt="last")
        waits_ms = await asyncio.to_thread(_probe, running)
        queued = json.loads(running.get(f"/v1/jobs/{last}")[1])["queue_position"]
    if queued < QUEUED_JOBS:
        raise RuntimeError(f"only {queued} jobs were queued at the end of the probes")
    details = {"queued_jobs": queued, "probes": PROBES, "slowest_ms": max(waits_ms)}
    return Measured({"healthz_p99_ms": percentile(waits_ms, 0.99)}, details)


def _submit(running: Fleet, note: bytes) -> None:
    def one(number: int) -> str:
        return running.submit(note, prompt=f"note {number}")

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(one, range(QUEUED_JOBS + SPARE_JOBS)))


def _probe(running: Fleet) -> list[float]:
    waits_ms = []
    for _ in range(PROBES):
        began = time.perf_counter()
        status, _ = fleet.exchange(running.port, "GET", "/healthz")
        waits_ms.append(1000 * (time.perf_counter() - began))
        if status != 200:
            raise RuntimeError(f"/healthz answered {status}")
    return waits_ms
