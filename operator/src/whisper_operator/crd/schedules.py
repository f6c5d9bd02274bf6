"""Windows of time in which more pods stay than the queue asks for."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Annotated
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field

from whisper_operator.crd.fields import DNS_LABEL, MAX_REPLICAS, Shape, rule, shape_config

MAX_SCHEDULES = 16


@cache
def checked_cron(expression: str) -> str:
    """Raises ValueError: the API server sees the form of an expression and not its sense."""
    try:
        next(CronSim(expression, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise ValueError(f"{expression!r} is no cron expression: {error}") from error
    except StopIteration:
        raise ValueError(f"{expression!r} never comes true") from None
    return expression


@cache
def checked_zone(name: str) -> str:
    """Raises ValueError."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone; take a name like Europe/Berlin") from error
    return name


CRON_PATTERN = r"^[0-9A-Za-z*,/#-]+( [0-9A-Za-z*,/#-]+){4}$"
Cron = Annotated[str, Field(pattern=CRON_PATTERN, max_length=100), AfterValidator(checked_cron)]
TimeZone = Annotated[
    str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$", max_length=64), AfterValidator(checked_zone)
]


class Schedule(Shape):
    model_config = shape_config(rule("self.start != self.end", "start and end must not be the same"))

    name: Annotated[str, Field(pattern=DNS_LABEL, max_length=63)] = Field(description="What events call it.")
    start: Cron = Field(
        description="When it begins, as a cron expression of five fields: minute, hour, day of the month, month, "
        "weekday. 0 8 * * 1-5 is eight o'clock from Monday to Friday."
    )
    end: Cron = Field(description="When it ends, in the same form.")
    time_zone: TimeZone = Field(default="UTC", description="Whose clock is meant, such as Europe/Berlin.")
    min_replicas: Annotated[int, Field(ge=1, le=MAX_REPLICAS)] = Field(
        description="How many pods stay while it lasts, where that is more than minReplicas; of several schedules the most count."
    )


SCHEDULES_AS_MAP = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
Schedules = Annotated[list[Schedule], Field(max_length=MAX_SCHEDULES, json_schema_extra=SCHEDULES_AS_MAP)]
