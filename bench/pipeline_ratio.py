"""pipeline_ratio_celery: notes a second, from the HTTP upload to the text, beside FastAPI + Celery + Redis."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from statistics import median

from bench import audio, celery_app, celery_pipeline, fleet, servers
from bench.figures import Measured, at_least
from whisper_dispatcher.loopback import free_port

GOALS = (at_least("pipeline_ratio_celery", 2),)

SERVERS = 2
"""Stubs, and so worker processes on Celery's side and slots on ours."""
CLIENTS = 8
ROUNDS = 5
NOTES = 300
WARM_UP_NOTES = 60
TEXT = b"hello world one two three"


def measure() -> Measured:
    servers.redis_path()
    ours, celery = asyncio.run(_measure())
    setup = {"servers": SERVERS, "clients": CLIENTS, "rounds": ROUNDS, "notes": NOTES}
    rates = {"ours_notes_per_s": ours, "celery_notes_per_s": celery}
    return Measured({"pipeline_ratio_celery": median(ours) / median(celery)}, rates | setup)


async def _measure() -> tuple[list[float], list[float]]:
    note = audio.note_opus()
    ours, celery = [], []
    async with fleet.running(slots=SERVERS, delay_ms=0) as running, _celery() as celery_port:
        for number in range(ROUNDS + 1):
            notes = NOTES if number else WARM_UP_NOTES
            ours.append(await asyncio.to_thread(_send, running.port, running.headers, note, notes))
            celery.append(await asyncio.to_thread(_send, celery_port, {}, note, notes))
    return ours[1:], celery[1:]


@asynccontextmanager
async def _celery() -> AsyncIterator[int]:
    """The port of the other side. Its Redis syncs every write, as our queue does."""
    with ExitStack() as stack:
        data = stack.enter_context(servers.folder())
        url = stack.enter_context(servers.redis_server("synced"))
        ports = [stack.enter_context(servers.stub_server(data, 0)) for _ in range(SERVERS)]
        env = {celery_app.BROKER_VARIABLE: url, celery_pipeline.STUBS_VARIABLE: ",".join(map(str, ports))}
        stack.enter_context(
            celery_app.workers(url, data, processes=SERVERS, application="bench.celery_pipeline", env=env)
        )
        port, log = free_port(), data / "web.log"
        web = stack.enter_context(servers.process([sys.executable, "-m", "bench.celery_pipeline", str(port)], log, env))
        servers.wait_for_port(port, web, log)
        yield port


def _send(port: int, headers: Mapping[str, str], note: bytes, notes: int) -> float:
    """Notes a second, a fixed number of them on their way."""
    numbers = itertools.count()

    def one(_: int) -> None:
        # Our side joins identical uploads of one client, so each has something of its own.
        fields = {"language": "en", "prompt": f"note {time.monotonic_ns()} {next(numbers)}"}
        status, body = fleet.post(port, "/transcribe", fields, note, headers)
        if status != 200 or TEXT not in body:
            raise RuntimeError(f"a note was answered with {status}: {body[:300]!r}")

    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(one, range(notes)))
    return notes / (time.perf_counter() - began)
