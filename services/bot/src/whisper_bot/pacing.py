"""When the next call to Telegram may go: our own pace, and what Telegram asked for. Times are seconds of any clock."""

from __future__ import annotations

from dataclasses import dataclass

PRUNE_AT_CHATS = 10_000


@dataclass(frozen=True, slots=True)
class Pace:
    """So many calls at once, then one in each interval."""

    burst: int
    interval_s: float


ALL = Pace(burst=30, interval_s=1 / 30)
PRIVATE = Pace(burst=4, interval_s=1.0)
GROUP = Pace(burst=6, interval_s=3.0)
"""Telegram documents no limits; these are what bots report. What it answers with 429 counts, whatever we think."""


class Pacing:
    """A pause that Telegram asks of one chat holds for that chat; asked of two chats at a time, for all."""

    def __init__(self) -> None:
        self._all_due = 0.0
        self._chats_due: dict[int, float] = {}
        self._paused: dict[int, float] = {}
        self._all_paused = 0.0

    def wait_s(self, chat: int, now: float) -> float:
        """How long a call about this chat has to wait; 0 = it may go."""
        pace = _pace(chat)
        due = max(
            self._all_due - (ALL.burst - 1) * ALL.interval_s,
            self._chats_due.get(chat, 0.0) - (pace.burst - 1) * pace.interval_s,
            self._paused.get(chat, 0.0),
            self._all_paused,
        )
        return max(0.0, due - now)

    def went(self, chat: int, now: float) -> None:
        self._all_due = max(self._all_due, now) + ALL.interval_s
        self._chats_due[chat] = max(self._chats_due.get(chat, 0.0), now) + _pace(chat).interval_s
        if len(self._chats_due) > PRUNE_AT_CHATS:
            self._prune(now)

    def refused(self, chat: int, retry_after_s: float, now: float) -> None:
        """Telegram answered 429."""
        until = now + retry_after_s
        others = [end for other, end in self._paused.items() if other != chat and end > now]
        self._paused[chat] = max(self._paused.get(chat, 0.0), until)
        if others:
            self._all_paused = max(self._all_paused, until)

    def _prune(self, now: float) -> None:
        self._chats_due = {chat: due for chat, due in self._chats_due.items() if due > now}
        self._paused = {chat: end for chat, end in self._paused.items() if end > now}


def _pace(chat: int) -> Pace:
    """Groups have negative ids."""
    return GROUP if chat < 0 else PRIVATE
