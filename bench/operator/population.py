"""Many WhisperServers at once: created, healed, found again after a restart of the operator, and at rest."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections import Counter
from collections.abc import Set as AbstractSet
from statistics import median
from typing import Any

from bench.figures import Goal, Measured, at_most, percentile, reported
from bench.operator import control_plane, operator_process
from bench.operator.api import KINDS, Api, Manifest, applied, connected, path_of, written
from bench.operator.control_plane import ControlPlane
from bench.operator.observer import Observer
from bench.operator.operator_process import OperatorProcess
from whisper_operator.crd.definition import API_VERSION, WHISPER_SERVER
from whisper_operator.resources import BY_KIND, WHISPER_SERVERS

LIMITS = {
    "create_to_children_p95_s": 0.15,
    "heal_p95_s": 0.3,
    "resync_s": 5.0,
    "rss_mib": 180.0,
    "children_rebuilt": 0.0,
    "writes_at_rest": 0.0,
}
PER_SECOND = 10
QUEUES = 20
HEALED_SERVERS = 5
REST_S = 60.0
_CHILDREN_LIMIT_S = 60.0
_HEAL_LIMIT_S = 20.0
_RESYNC_LIMIT_S = 120.0
_QUIET_S = 5.0
_QUIET_LIMIT_S = 120.0

EDITS: dict[str, Manifest] = {
    "Deployment": {"spec": {"progressDeadlineSeconds": 777}},
    "Service": {"spec": {"selector": {"app.kubernetes.io/instance": "another"}}},
    "Secret": {"data": {"nats.creds": "c29tZWJvZHk="}},
    "NetworkPolicy": {"spec": {"ingress": []}},
    "PodDisruptionBudget": {"spec": {"maxUnavailable": 7}},
    "PersistentVolumeClaim": {"metadata": {"labels": {"app.kubernetes.io/part-of": None}}},
    "Job": {"metadata": {"labels": {"app.kubernetes.io/part-of": None}}},
}


def goals(prefix: str) -> tuple[Goal, ...]:
    """prefix: for figures that are only reported."""
    if prefix:
        return tuple(reported(prefix + name) for name in LIMITS)
    return tuple(at_most(name, limit) for name, limit in LIMITS.items())


def measure(servers: int, prefix: str, wanted: AbstractSet[str]) -> Measured:
    """The creation belongs to every figure; of the rest only what is wanted is done."""
    with control_plane.running() as plane:
        chosen = {name.removeprefix(prefix) for name in wanted}
        values, details = asyncio.run(_measure(plane, servers, chosen))
    return Measured({prefix + name: value for name, value in values.items()}, details)


async def _measure(
    plane: ControlPlane, servers: int, wanted: AbstractSet[str]
) -> tuple[dict[str, float], dict[str, Any]]:
    async with connected(plane.url, plane.tls()) as api:
        await api.install_kinds()
        with operator_process.running(plane) as operator:
            await asyncio.to_thread(operator.wait_ready, _RESYNC_LIMIT_S)
            async with Observer(api) as observer:
                return await _Run(api, observer, operator, servers).measure(wanted)


class _Run:
    def __init__(self, api: Api, observer: Observer, operator: OperatorProcess, servers: int) -> None:
        self._api = api
        self._observer = observer
        self._operator = operator
        self._servers = servers
        self._healed = 0
        self._values: dict[str, float] = {}
        self._details: dict[str, Any] = {"servers": servers, "per_second": PER_SECOND}

    async def measure(self, wanted: AbstractSet[str]) -> tuple[dict[str, float], dict[str, Any]]:
        await self._warm_up()
        await self._create()
        if "heal_p95_s" in wanted:
            await self._heal()
        if wanted & {"resync_s", "rss_mib", "children_rebuilt"}:
            await self._restart()
        if "writes_at_rest" in wanted:
            await self._rest()
        self._values["rss_mib"] = self._operator.note_memory()
        made = self._all * len(KINDS) + self._healed
        self._values["children_rebuilt"] = applied(await self._api.requests()) - made
        return self._values, self._details | {"load_average": os.getloadavg()[0]}

    @property
    def _all(self) -> int:
        """The one of the warm-up too."""
        return self._servers + 1

    async def _warm_up(self) -> None:
        """Kinds that have just been made answer late for a while."""
        await self._api.create(path_of(WHISPER_SERVERS), _server(self._servers))
        await self._complete(1)

    async def _create(self) -> None:
        began_s: dict[str, float] = {}
        first_s, first_cpu_s = time.monotonic(), self._operator.cpu_s
        async with asyncio.TaskGroup() as group:
            for number in range(self._servers):
                await asyncio.sleep(max(0.0, first_s + number / PER_SECOND - time.monotonic()))
                began_s[_name(number)] = time.monotonic()
                group.create_task(self._api.create(path_of(WHISPER_SERVERS), _server(number)))
        cpu_s, spent_s = self._operator.cpu_s - first_cpu_s, time.monotonic() - first_s
        await self._complete(self._all)
        samples = [self._observer.complete_s[name] - at_s for name, at_s in began_s.items()]
        self._values["create_to_children_p95_s"] = percentile(samples, 0.95)
        self._details["create"] = _spread(samples) | {"operator_cores": cpu_s / spent_s}
        await asyncio.to_thread(self._operator.wait_settled, self._all, _CHILDREN_LIMIT_S)
        self._details["rss_after_create_mib"] = self._operator.note_memory()
        counted = written(await self._api.requests())
        self._details["writes"] = {" ".join(request): count for request, count in sorted(counted.items())}

    async def _complete(self, servers: int) -> None:
        deadline = time.monotonic() + _CHILDREN_LIMIT_S
        while (there := len(self._observer.complete_s)) < servers:
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"{there} of {servers} WhisperServers have their children: {self._operator.last_log()}"
                )
            await asyncio.sleep(0.1)

    async def _heal(self) -> None:
        await self._quiet()
        deleted: dict[str, list[float]] = {resource.kind: [] for resource in KINDS}
        edited: dict[str, list[float]] = {resource.kind: [] for resource in KINDS}
        for index, kind in itertools.product(range(HEALED_SERVERS), deleted):
            server = _name(index * self._servers // HEALED_SERVERS)
            edited[kind].append(await self._time_edit(self._observer.children_of(server)[kind], kind))
            deleted[kind].append(await self._time_deletion(self._observer.children_of(server)[kind], kind))
        samples = [sample for each in (deleted, edited) for some in each.values() for sample in some]
        self._values["heal_p95_s"] = percentile(samples, 0.95)
        self._details["heal"] = _spread(samples) | {
            "deleted_slowest_s": {kind: max(some) for kind, some in deleted.items()},
            "edited_slowest_s": {kind: max(some) for kind, some in edited.items()},
        }

    async def _time_edit(self, before: Manifest, kind: str) -> float:
        name = before["metadata"]["name"]
        is_edited = False

        def is_mended(type_: str, child: Manifest) -> bool:
            nonlocal is_edited
            is_edited = is_edited or _content(child) != _content(before)
            return is_edited and _content(child) == _content(before)

        return await self._timed(kind, name, is_mended, self._api.patch(path_of(BY_KIND[kind], name), EDITS[kind]))

    async def _time_deletion(self, before: Manifest, kind: str) -> float:
        metadata = before["metadata"]
        name = metadata["name"]

        def is_new(type_: str, child: Manifest) -> bool:
            return type_ != "DELETED" and child["metadata"]["uid"] != metadata["uid"]

        return await self._timed(kind, name, is_new, self._api.delete(path_of(BY_KIND[kind], name)))

    async def _timed(self, kind: str, name: str, holds: Any, act: Any) -> float:
        """From just before the request until the observer has seen it healed."""
        seen = asyncio.create_task(self._observer.seen(kind, name, holds, _HEAL_LIMIT_S))
        await asyncio.sleep(0)
        began_s = time.monotonic()
        await act
        try:
            healed_s = await seen
        except TimeoutError as error:
            raise RuntimeError(f"{kind} {name} is not healed after {_HEAL_LIMIT_S:g} s") from error
        self._healed += 1
        return healed_s - began_s

    async def _restart(self) -> None:
        await self._quiet()
        before = applied(await self._api.requests())
        await asyncio.to_thread(self._operator.stop)
        self._operator.start()
        self._values["resync_s"] = await asyncio.to_thread(self._operator.wait_settled, self._all, _RESYNC_LIMIT_S)
        self._details["restart"] = {
            "applied": applied(await self._api.requests()) - before,
            "cpu_s": self._operator.cpu_s,
        }

    async def _rest(self) -> None:
        await self._quiet()
        before, cpu_s = await self._api.requests(), self._operator.cpu_s
        await asyncio.sleep(REST_S)
        writes = _more(before, await self._api.requests())
        self._values["writes_at_rest"] = writes.total() * 60 / REST_S
        self._details["rest"] = {
            "seconds": REST_S,
            "writes": {" ".join(request): count for request, count in writes.items()},
            "operator_cores": (self._operator.cpu_s - cpu_s) / REST_S,
        }

    async def _quiet(self) -> None:
        """Until nothing of ours was written for a while, or the limit: what comes of the objects has come then."""
        deadline = time.monotonic() + _QUIET_LIMIT_S
        while time.monotonic() < deadline:
            before = await self._api.requests()
            await asyncio.sleep(_QUIET_S)
            if not _more(before, await self._api.requests()):
                return


def _more(before: Counter[Any], after: Counter[Any]) -> Counter[Any]:
    return written(after) - written(before)


def _spread(samples: list[float]) -> dict[str, float]:
    return {
        "samples": len(samples),
        "p50_s": median(samples),
        "p95_s": percentile(samples, 0.95),
        "max_s": max(samples),
    }


def _content(child: Manifest) -> Manifest:
    """What the operator decides; the rest is the cluster's."""
    kept = {name: child[name] for name in ("spec", "data") if name in child}
    return kept | {"labels": child["metadata"].get("labels")}


def _name(number: int) -> str:
    return f"bench-{number:04}"


def _server(number: int) -> Manifest:
    """One with every kind of child, of which several share a queue."""
    return {
        "apiVersion": API_VERSION,
        "kind": WHISPER_SERVER.kind,
        "metadata": {"name": _name(number)},
        "spec": {
            "model": {"name": "demo.en"},
            "queue": {"name": f"bench-{number % QUEUES}"},
            "cache": {"size": "64Mi", "accessMode": "ReadWriteMany"},
            "replicas": 2,
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        },
    }
