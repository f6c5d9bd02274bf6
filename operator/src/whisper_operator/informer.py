"""Keeps a copy of every object of one kind, and tells of each change."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Literal

import structlog

from whisper_operator.cluster import ApiError, Cluster, Unreachable
from whisper_operator.resources import Manifest, ObjectKey, Resource, key_of
from whisper_operator.work_queue import backoff_s

log = structlog.get_logger()

Change = Literal["stored", "removed"]


class Informer:
    """Listeners hear of an object only when it is in the copy already, or no longer."""

    def __init__(
        self,
        cluster: Cluster,
        resource: Resource,
        *,
        namespace: str | None,
        selector: str,
        on_change: Callable[[Change, Manifest], None],
    ) -> None:
        self.resource = resource
        self.listed = asyncio.Event()
        """Set when the first list is in."""
        self._cluster = cluster
        self._namespace = namespace
        self._selector = selector
        self._on_change = on_change
        self._versions: dict[ObjectKey, tuple[int, Manifest]] = {}
        self._random = random.Random()  # noqa: S311  jitter, not a secret

    async def run(self) -> None:
        failures = 0
        while True:
            try:
                version = await self._list()
                self.listed.set()
                failures = 0
                while True:
                    version = await self._watch(version)
            except ApiError as error:
                if error.status == 410:  # the server forgot that version; nothing is wrong
                    continue
                reason = str(error)
            except Unreachable as error:
                reason = str(error)
            failures += 1
            delay_s = backoff_s(failures, self._random.random())
            log.warning("listing again", kind=self.resource.kind, error=reason, delay_s=round(delay_s, 2))
            await asyncio.sleep(delay_s)

    def take(self, live: Manifest) -> None:
        """What an own write has answered: known before its event arrives."""
        self._store(live)

    async def _list(self) -> str:
        items, version = await self._cluster.list_all(self.resource, self._namespace, self._selector)
        there = {key_of(item) for item in items}
        for key in [key for key in self._versions if key not in there]:
            self._remove(self._versions[key][1])
        for item in items:
            self._store(item)
        return version

    async def _watch(self, version: str) -> str:
        async for event, live in self._cluster.watch(self.resource, self._namespace, self._selector, version):
            version = live["metadata"]["resourceVersion"]
            match event:
                case "ADDED" | "MODIFIED":
                    self._store(live)
                case "DELETED":
                    self._remove(live)
        return version

    def _store(self, live: Manifest) -> None:
        version = int(live["metadata"]["resourceVersion"])
        known = self._versions.get(key_of(live))
        if known and known[0] >= version:
            return
        if known and known[1]["metadata"]["uid"] != live["metadata"]["uid"]:
            self._remove(known[1])  # deleted and made anew while nobody looked
        kept = slim(live)
        self._versions[key_of(live)] = (version, kept)
        self._on_change("stored", kept)

    def _remove(self, live: Manifest) -> None:
        known = self._versions.get(key_of(live))
        # An own write may already have made the next object of that name.
        if known is None or known[1]["metadata"]["uid"] != live["metadata"]["uid"]:
            return
        del self._versions[key_of(live)]
        self._on_change("removed", known[1])


def slim(live: Manifest) -> Manifest:
    """Without what is never looked at: half of a Deployment says who set which field."""
    metadata = {name: value for name, value in live["metadata"].items() if name != "managedFields"}
    kept = live | {"metadata": metadata}
    if live.get("kind") == "Pod":
        kept["spec"] = {"nodeName": live["spec"].get("nodeName")}
    return kept
