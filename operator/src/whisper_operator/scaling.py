"""How many pods the queue needs. No I/O: loads and times come in, a number goes out."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime

from whisper_operator.crd.serving import Autoscaling
from whisper_operator.schedules import least_pods


@dataclass(frozen=True, slots=True)
class Load:
    """Of one queue, in windows of at most 30 s of audio."""

    pending: int = 0
    in_flight: int = 0


@dataclass(slots=True)
class Needs:
    """How many pods were needed lately: at_s → pods, oldest first, and since when that is known."""

    since_s: float
    points: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, at_s: float, pods: int, keep_s: float) -> None:
        self.points.append((at_s, pods))
        # The last one before the span still holds at its beginning.
        while len(self.points) > 1 and self.points[1][0] <= at_s - keep_s:
            self.points.popleft()

    def within(self, now_s: float, span_s: float) -> list[int]:
        recent = [pods for at_s, pods in self.points if at_s > now_s - span_s]
        before = [pods for at_s, pods in self.points if at_s <= now_s - span_s]
        return before[-1:] + recent


def needed_pods(autoscaling: Autoscaling, load: Load, slots: int, at: datetime) -> int:
    """Never fewer than what is in flight keeps busy, nor than the schedules ask for at that time."""
    windows = load.pending + load.in_flight
    needed = max(
        math.ceil(windows / autoscaling.pending_windows_per_replica),
        math.ceil(load.in_flight / slots),
    )
    return min(autoscaling.max_replicas, max(least_pods(autoscaling, at), needed))


def scaled(autoscaling: Autoscaling, needs: Needs, now_s: float, current: int) -> int:
    """How many pods there shall be. needs: with the present one added last."""
    up_s, down_s = autoscaling.scale_up_delay_seconds, autoscaling.scale_down_delay_seconds
    least = min(needs.within(now_s, up_s))
    if least > current and now_s - needs.since_s >= up_s:
        return least
    most = max(needs.within(now_s, down_s))
    if most < current and now_s - needs.since_s >= down_s:
        return most
    return current


def is_news(told: Load | None, load: Load, told_s: float, now_s: float) -> bool:
    """Whether the status shall tell a load: at once when work comes or ends, else every QUIET_S at most."""
    if told is None or (told == Load()) != (load == Load()):
        return True
    return told != load and now_s - told_s >= QUIET_S


QUIET_S = 15.0
