"""How much there is to do, now and in the last hour, as this gateway has seen it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from whisper_dispatcher.jobs.index import JobIndex, JobView

SAMPLE_S = 10.0
SAMPLES = 360


@dataclass(frozen=True, slots=True)
class Depth:
    queued: int
    """Jobs that are not planned yet."""
    running: int
    windows: int
    """Windows of running jobs that have no result yet."""


@dataclass(frozen=True, slots=True)
class Sample:
    at: float
    """Unix seconds."""
    depth: Depth


def depth_of(active: Iterable[JobView]) -> Depth:
    views = list(active)
    planned = [(view.total, len(view.done)) for view in views if view.total is not None]
    return Depth(len(views) - len(planned), len(planned), sum(total - done for total, done in planned))


def depth_by_model(active: Iterable[JobView]) -> dict[str, Depth]:
    by_model: dict[str, list[JobView]] = {}
    for view in active:
        if view.record:
            by_model.setdefault(view.record.options.model, []).append(view)
    return {model: depth_of(views) for model, views in sorted(by_model.items())}


class DepthHistory:
    """Of the last hour; another replica, or this one after a restart, has its own."""

    def __init__(self, index: JobIndex) -> None:
        self._index = index
        self.samples: deque[Sample] = deque(maxlen=SAMPLES)

    def take(self) -> None:
        self.samples.append(Sample(time.time(), depth_of(self._index.active())))

    async def run(self) -> None:
        while True:
            self.take()
            await asyncio.sleep(SAMPLE_S)

    def as_json(self) -> list[dict[str, float]]:
        return [{"at": sample.at} | asdict(sample.depth) for sample in self.samples]
