"""Watches the children of all WhisperServers, and notes when what was seen."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp

from bench.operator.api import KINDS, Api, Manifest, path_of
from whisper_operator.naming import controller
from whisper_operator.resources import Resource

AGAIN_S = 0.2

Holds = Callable[[str, Manifest], bool]
"""Of an event's type and object."""


@dataclass(frozen=True, slots=True)
class _Awaited:
    holds: Holds
    seen_s: asyncio.Future[float]


class Observer:
    """Of one event loop; times are those of `time.monotonic`."""

    def __init__(self, api: Api) -> None:
        self.live: dict[tuple[str, str], Manifest] = {}
        """By kind and name."""
        self.complete_s: dict[str, float] = {}
        """By WhisperServer: when the last of its kinds of children was first seen."""
        self._api = api
        self._kinds: dict[str, set[str]] = defaultdict(set)
        self._awaited: dict[tuple[str, str], _Awaited] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Observer:
        for resource in KINDS:
            listed = asyncio.Event()
            self._tasks.append(asyncio.create_task(self._watch(resource, listed)))
            await listed.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def children_of(self, server: str) -> dict[str, Manifest]:
        """By kind."""
        return {kind: child for (kind, _), child in self.live.items() if _owner(child) == server}

    async def seen(self, kind: str, name: str, holds: Holds, limit_s: float) -> float:
        """When an event came for which that holds."""
        awaited = self._awaited[kind, name] = _Awaited(holds, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(limit_s):
                return await awaited.seen_s
        finally:
            del self._awaited[kind, name]

    async def _watch(self, resource: Resource, listed: asyncio.Event) -> None:
        while True:
            try:
                found = await self._api.send("GET", path_of(resource))
                for child in found["items"]:
                    self._note(resource.kind, "ADDED", child, time.monotonic())
                listed.set()
                async for type_, child in self._api.watch(path_of(resource), found["metadata"]["resourceVersion"]):
                    self._note(resource.kind, type_, child, time.monotonic())
            # An API server that has just started refuses or ends a watch now and then.
            except (RuntimeError, aiohttp.ClientError) as error:
                sys.stderr.write(f"watching {resource.plural} again: {error}\n")
            await asyncio.sleep(AGAIN_S)

    def _note(self, kind: str, type_: str, child: Manifest, now_s: float) -> None:
        key = (kind, child["metadata"]["name"])
        if type_ == "DELETED":
            self.live.pop(key, None)
        else:
            self.live[key] = child
        awaited = self._awaited.get(key)
        if awaited and not awaited.seen_s.done() and awaited.holds(type_, child):
            awaited.seen_s.set_result(now_s)
        if (server := _owner(child)) is not None and server not in self.complete_s:
            kinds = self._kinds[server]
            kinds.add(kind)
            if len(kinds) == len(KINDS):
                self.complete_s[server] = now_s


def _owner(child: Manifest) -> str | None:
    owner = controller(child)
    return owner["name"] if owner else None
