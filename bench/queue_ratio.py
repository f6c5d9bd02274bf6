"""queue_ratio_celery_*: durable work that does nothing, through our hand-over and through Celery on Redis."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from statistics import median

from bench import celery_app, hand_over, servers
from bench.figures import Measured, at_least
from bench.servers import Durability
from whisper_dispatcher.jetstream.streams import connected

GOALS = (at_least("queue_ratio_celery_synced", 3), at_least("queue_ratio_celery_default", 5))

PROCESSES = 2
RESERVED = 4
"""Messages a worker process holds at a time: Celery's prefetch multiplier, and so many slots on our side."""
IN_FLIGHT = 64
ROUNDS = 5
WARM_UP_JOBS = 500
JOBS = 1500


def measure() -> Measured:
    servers.redis_path()
    values, details = {}, {}
    for durability in ("synced", "default"):
        ours, celery = asyncio.run(_compare(durability))  # type: ignore[arg-type]
        values[f"queue_ratio_celery_{durability}"] = median(ours) / median(celery)
        details[durability] = {"ours_jobs_per_s": ours, "celery_jobs_per_s": celery}
    setup = {"processes": PROCESSES, "reserved": RESERVED, "in_flight": IN_FLIGHT, "rounds": ROUNDS, "jobs": JOBS}
    return Measured(values, details | setup)


async def _compare(durability: Durability) -> tuple[list[float], list[float]]:
    """Jobs a second of each round; the two sides take turns."""
    with ExitStack() as stack:
        data = stack.enter_context(servers.folder())
        nats_url = stack.enter_context(servers.nats_server(durability))
        redis_url = stack.enter_context(servers.redis_server(durability))
        await hand_over.prepare(nats_url)
        stack.enter_context(hand_over.workers(nats_url, data, processes=PROCESSES, slots=RESERVED))
        stack.enter_context(celery_app.workers(redis_url, data, processes=PROCESSES))
        celery_producer = celery_app.Producer(redis_url, IN_FLIGHT)
        stack.callback(celery_producer.close)
        async with connected(nats_url, name="bench producer") as jetstream:
            our_producer = hand_over.Producer(jetstream, IN_FLIGHT)
            await our_producer.start()
            ours, celery = [], []
            for number in range(ROUNDS + 1):
                jobs = JOBS if number else WARM_UP_JOBS
                ours.append(await our_producer.run(jobs))
                celery.append(await asyncio.to_thread(celery_producer.run, jobs))
            await our_producer.stop()
            return ours[1:], celery[1:]
