"""Which schedules are open now. No I/O: the time comes in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim

from whisper_operator.crd.schedules import Schedule
from whisper_operator.crd.serving import Autoscaling


def open_schedules(schedules: Iterable[Schedule], at: datetime) -> list[Schedule]:
    """at: with its time zone."""
    minute = at.replace(second=0, microsecond=0)
    return [schedule for schedule in schedules if _is_open(schedule.start, schedule.end, schedule.time_zone, minute)]


@lru_cache(maxsize=4096)
def _is_open(start: str, end: str, time_zone: str, minute: datetime) -> bool:
    """It has begun since it last ended; where both come at once it begins."""
    # What comes true at this very minute counts.
    here = minute.astimezone(ZoneInfo(time_zone)) + timedelta(seconds=1)
    began, ended = (next(CronSim(expression, here, reverse=True)) for expression in (start, end))
    return began >= ended


def least_pods(autoscaling: Autoscaling, at: datetime) -> int:
    scheduled = [schedule.min_replicas for schedule in open_schedules(autoscaling.schedules, at)]
    return min(autoscaling.max_replicas, max([autoscaling.min_replicas, *scheduled]))
