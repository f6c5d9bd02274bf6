"""Which objects are to be looked at: each at most once at a time, and again if it changed meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

FIRST_DELAY_S = 0.1
MAX_DELAY_S = 30.0

Key = TypeVar("Key", bound=Hashable)


def backoff_s(failures: int, jitter: float) -> float:
    """failures: in a row, from 1. jitter: 0 to 1, spreads the upper half."""
    delay_s: float = min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures - 1, 20))
    return delay_s * (0.5 + 0.5 * jitter)


class KeyedQueue(Generic[Key]):
    """Of one event loop. Keys added while they wait are merged; keys added while they are worked on come again."""

    def __init__(self, *, rest_s: float = 0.0) -> None:
        """rest_s: how long a key is left alone after it was worked on."""
        self._rest_s = rest_s
        self._resting: dict[Key, asyncio.TimerHandle] = {}
        self._waiting: deque[Key] = deque()
        self._dirty: set[Key] = set()
        self._busy: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._changed = asyncio.Event()
        self._random = random.Random()  # noqa: S311  jitter, not a secret

    def __len__(self) -> int:
        return len(self._dirty)

    def add(self, key: Key) -> None:
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._busy and key not in self._resting:
            self._put(key)

    def add_after(self, key: Key, delay_s: float) -> None:
        """The sooner of two calls counts."""
        loop = asyncio.get_running_loop()
        planned = self._timers.get(key)
        if planned and planned.when() <= loop.time() + delay_s:
            return
        if planned:
            planned.cancel()
        self._timers[key] = loop.call_later(delay_s, self._due, key)

    def retry(self, key: Key) -> float:
        """After a failure; returns the delay in seconds."""
        self._failures[key] = self._failures.get(key, 0) + 1
        delay_s = backoff_s(self._failures[key], self._random.random())
        self.add_after(key, delay_s)
        return delay_s

    def forget_failures(self, key: Key) -> None:
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """Waits for a key; it is busy until `done`."""
        while not self._waiting:
            self._changed.clear()
            await self._changed.wait()
        key = self._waiting.popleft()
        self._dirty.discard(key)
        self._busy.add(key)
        return key

    def done(self, key: Key) -> None:
        self._busy.discard(key)
        if self._rest_s:
            self._resting[key] = asyncio.get_running_loop().call_later(self._rest_s, self._rested, key)
        elif key in self._dirty:
            self._put(key)

    def close(self) -> None:
        for timer in (*self._timers.values(), *self._resting.values()):
            timer.cancel()
        self._timers.clear()
        self._resting.clear()

    def _put(self, key: Key) -> None:
        self._waiting.append(key)
        self._changed.set()

    def _rested(self, key: Key) -> None:
        del self._resting[key]
        if key in self._dirty:
            self._put(key)

    def _due(self, key: Key) -> None:
        del self._timers[key]
        self.add(key)
