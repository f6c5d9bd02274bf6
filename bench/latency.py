"""added_latency_*: what the way through gateway, queue, planner and worker adds to one note."""

from __future__ import annotations

import asyncio
import time
from statistics import median

from bench import audio, fleet, servers
from bench.figures import Measured, at_most, percentile
from bench.fleet import Fleet

GOALS = (at_most("added_latency_p50_ms", 5), at_most("added_latency_p99_ms", 20))

STUB_MS = 50
PAIRS = 600
WARM_UP_PAIRS = 30
FIELDS = {"response_format": "json", "language": "en", "temperature": "0"}


def measure() -> Measured:
    direct_ms, through_ms = asyncio.run(_measure())
    values = {
        "added_latency_p50_ms": median(through_ms) - median(direct_ms),
        "added_latency_p99_ms": percentile(through_ms, 0.99) - percentile(direct_ms, 0.99),
    }
    details = {
        f"{way}_{name}_ms": percentile(samples, share)
        for way, samples in (("direct", direct_ms), ("through", through_ms))
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }
    return Measured(values, details | {"pairs": PAIRS, "stub_ms": STUB_MS})


async def _measure() -> tuple[list[float], list[float]]:
    with servers.folder() as data, servers.stub_server(data, STUB_MS) as stub_port:
        async with fleet.running(slots=1, delay_ms=STUB_MS) as running:
            return await asyncio.to_thread(_pairs, stub_port, running)


def _pairs(stub_port: int, running: Fleet) -> tuple[list[float], list[float]]:
    note = audio.note_wav()
    direct_ms, through_ms = [], []
    for _ in range(WARM_UP_PAIRS + PAIRS):
        direct_ms.append(_timed(stub_port, "/inference", note, {}))
        through_ms.append(_timed(running.port, "/transcribe", note, running.headers))
    return direct_ms[WARM_UP_PAIRS:], through_ms[WARM_UP_PAIRS:]


def _timed(port: int, path: str, note: bytes, headers: dict[str, str]) -> float:
    began = time.perf_counter()
    status, body = fleet.post(port, path, FIELDS, note, headers)
    spent_ms = 1000 * (time.perf_counter() - began)
    if status != 200:
        raise RuntimeError(f"{path} answered {status}: {body[:300]!r}")
    return spent_ms
