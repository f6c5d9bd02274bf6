"""Whether a client may call now: plain decisions over numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from whisper_contracts.messages import ClientRecord
from whisper_dispatcher.gateway.errors import ApiError

DAY_S = 86_400
IN_FLIGHT_RETRY_S = 5


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class RequestRates:
    """A token bucket for each client, refilled by the minute. Per replica."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}

    def take(self, client: ClientRecord, now_s: float) -> None:
        """Raises when the client is over its requests per minute."""
        limit = client.requests_per_minute
        if limit is None:
            return
        bucket = self._buckets.setdefault(client.client, _Bucket(limit, now_s))
        bucket.tokens = min(limit, bucket.tokens + (now_s - bucket.at_s) * limit / 60)
        bucket.at_s = now_s
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return
        wait_s = math.ceil((1 - bucket.tokens) * 60 / limit) if limit else 60
        raise ApiError(
            429,
            f"This API key may send {limit} requests a minute. Send the next one in {wait_s} s.",
            code="rate_limit_exceeded",
            retry=True,
            headers={"Retry-After": str(wait_s)},
        )


def check_upload(client: ClientRecord, *, in_flight: int, audio_seconds_today: float, now: float) -> None:
    """Raises when the client may not start another job. now: Unix seconds."""
    if client.jobs_in_flight is not None and in_flight >= client.jobs_in_flight:
        raise ApiError(
            429,
            f"This API key may have {client.jobs_in_flight} jobs under way and has {in_flight}. Wait until one is done.",
            code="too_many_jobs",
            retry=True,
            headers={"Retry-After": str(IN_FLIGHT_RETRY_S)},
        )
    if client.audio_seconds_per_day is not None and audio_seconds_today >= client.audio_seconds_per_day:
        wait_s = math.ceil(DAY_S - now % DAY_S)
        raise ApiError(
            429,
            f"This API key may send {client.audio_seconds_per_day:g} s of audio a day and has used them up. The day ends at midnight UTC.",
            code="insufficient_quota",
            retry=False,
            headers={"Retry-After": str(wait_s)},
        )
