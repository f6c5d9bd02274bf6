"""The other side: the Celery application that the field would write. The broker is in BENCH_REDIS_URL."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from celery import Celery
from celery.result import AsyncResult

from bench import servers
from bench.figures import NotRun

BROKER_VARIABLE = "BENCH_REDIS_URL"
RESULT_LIMIT_S = 60


def application(url: str) -> Celery:
    celery = Celery("bench", broker=url, backend=url)
    celery.conf.update(task_acks_late=True, broker_connection_retry_on_startup=True, task_default_queue="bench")
    return celery


app = application(os.environ.get(BROKER_VARIABLE, "redis://"))


@app.task(name="no_op")  # type: ignore[untyped-decorator]
def no_op(job: str) -> str:
    return job


@contextmanager
def workers(
    url: str,
    data: Path,
    *,
    processes: int,
    application: str = "bench.celery_app",
    env: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Celery's own pool of processes, each with its default of four messages reserved."""
    argv = [sys.executable, "-m", "celery", "--app", application, "worker", "--loglevel", "WARNING"]
    argv += ["--concurrency", str(processes), "--without-gossip", "--without-mingle", "--without-heartbeat"]
    with servers.process(argv, data / "celery.log", {BROKER_VARIABLE: url, **(env or {})}):
        yield


class Producer:
    """Sends tasks and hears of each one's result, with a bounded number on their way."""

    def __init__(self, url: str, in_flight: int) -> None:
        self._app = application(url)
        self._in_flight = in_flight

    def run(self, jobs: int) -> float:
        """Jobs a second."""
        began = time.perf_counter()
        waiting: deque[AsyncResult] = deque()
        for number in range(jobs):
            if len(waiting) >= self._in_flight:
                _take(waiting)
            waiting.append(self._app.send_task("no_op", (str(number),)))
        while waiting:
            _take(waiting)
        return jobs / (time.perf_counter() - began)

    def close(self) -> None:
        self._app.close()


def _take(waiting: deque[AsyncResult]) -> None:
    try:
        waiting.popleft().get(timeout=RESULT_LIMIT_S)
    except TimeoutError as error:
        raise NotRun("The Celery worker did not answer.") from error
