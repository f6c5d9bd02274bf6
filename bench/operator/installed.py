"""The installed chart with real pods, whose model is cached: how soon they are wanted, ready, and have the first text."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from kubernetes import client, config
from rich.console import Console
from tests.e2e import installation
from tests.e2e.cluster import providers
from tests.e2e.cluster.cluster import Cluster
from tests.e2e.cluster.errors import ClusterError
from tests.e2e.installation import PLATFORM
from tests.e2e.objects import Objects, own_namespace
from tests.e2e.speech import forwarded

from bench import audio, fleet
from bench.figures import Measured, NotRun, at_most
from bench.operator.api import Api, Manifest, connected
from whisper_models.catalogue import DEMO
from whisper_operator.access import Access
from whisper_operator.naming import INSTANCE_LABEL
from whisper_operator.resources import PODS, WHISPER_SERVERS

GOALS = (at_most("scale_decision_s", 3), at_most("wake_from_zero_s", 8), at_most("ready_s", 8))

ROUNDS = 3
JOBS = 10
PODS_FOR_THEM = 2
SCALED, CACHED = "bench-scaled", "bench-cached"
_LIMIT_S = 120.0
_LOOK_EVERY_S = 0.02
_AUTOSCALING = {
    "minReplicas": 0,
    "maxReplicas": PODS_FOR_THEM,
    "pendingWindowsPerReplica": JOBS // PODS_FOR_THEM,
    "scaleDownDelaySeconds": 3,
}


def measure(wanted: AbstractSet[str]) -> Measured:
    try:
        with _platform() as (cluster, objects):
            return asyncio.run(_measure(cluster, objects, wanted))
    except ClusterError as error:
        raise NotRun(str(error)) from error


@contextmanager
def _platform() -> Iterator[tuple[Cluster, Objects]]:
    """With a namespace in which a model is cached."""
    console = Console(stderr=True)
    cluster = providers.up(providers.asked_for(), console)
    try:
        installation.ensure(cluster, console)
        with own_namespace(cluster) as objects:
            objects.server(CACHED)
            objects.wait_ready(CACHED)
            yield cluster, objects
    finally:
        if not installation.is_kept():
            providers.down()


async def _measure(cluster: Cluster, objects: Objects, wanted: AbstractSet[str]) -> Measured:
    access = _access(cluster.kubeconfig)
    async with connected(access.url, access.tls(), access.headers()) as api:
        samples: dict[str, list[float]] = {}
        if "ready_s" in wanted:
            samples["ready_s"] = [await _ready(api, objects.namespace, number) for number in range(ROUNDS)]
        if wanted & {"scale_decision_s", "wake_from_zero_s"}:
            samples |= await _scaled(cluster, api, objects)
    return Measured({name: median(found) for name, found in samples.items()}, {"samples": samples})


def _access(kubeconfig: Path) -> Access:
    configuration = client.Configuration()
    config.load_kube_config(str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
    return Access(configuration)


class _Server:
    """A WhisperServer of the cached model, with a queue of its own."""

    def __init__(self, api: Api, namespace: str, name: str) -> None:
        self.name = name
        self._api = api
        self._namespace = namespace
        self._path = WHISPER_SERVERS.path(namespace, name)

    async def create(self, spec: Manifest) -> None:
        manifest = {
            "apiVersion": WHISPER_SERVERS.api_version,
            "kind": WHISPER_SERVERS.kind,
            "metadata": {"name": self.name},
            "spec": {
                "model": {"claim": {"name": f"{CACHED}-model", "path": DEMO.file}},
                "queue": {"name": self.name},
                "server": {"language": "en"},
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
            }
            | spec,
        }
        await self._api.create(WHISPER_SERVERS.path(self._namespace), manifest)

    async def delete(self) -> None:
        await self._api.delete(self._path)
        await self._gone()

    async def seen(self, holds: Callable[[Manifest], bool]) -> float:
        """When it was first seen to be so."""
        deadline = time.monotonic() + _LIMIT_S
        while True:
            body = await self._api.send("GET", self._path)
            now_s = time.monotonic()
            if holds(body):
                return now_s
            if now_s > deadline:
                raise RuntimeError(f"{self.name} is not as expected after {_LIMIT_S:g} s: {body.get('status')}")
            await asyncio.sleep(_LOOK_EVERY_S)

    async def asleep(self) -> None:
        await self.seen(lambda body: body["spec"].get("replicas") == 0)
        await self._gone()

    async def _gone(self) -> None:
        """Its pods: one that is ending might still answer."""
        path = f"{PODS.path(self._namespace)}?labelSelector={INSTANCE_LABEL}={self.name}"
        deadline = time.monotonic() + _LIMIT_S
        while (await self._api.send("GET", path))["items"]:
            if time.monotonic() > deadline:
                raise RuntimeError(f"The pods of {self.name} are still there after {_LIMIT_S:g} s")
            await asyncio.sleep(0.2)


class _Gateway:
    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self._port = port
        self._headers = headers

    def wait_knows(self, model: str) -> None:
        deadline = time.monotonic() + _LIMIT_S
        while True:
            _, body = fleet.exchange(self._port, "GET", "/v1/models", headers=self._headers)
            if model in [each["id"] for each in json.loads(body)["data"]]:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"The gateway does not know {model} after {_LIMIT_S:g} s: {body!r}")
            time.sleep(_LOOK_EVERY_S)

    def send(self, path: str, number: int, expected: int) -> dict[str, Any]:
        """number: makes it another recording."""
        fields = {"language": "en", "model": SCALED}
        status, body = fleet.post(self._port, path, fields, audio.note_wav(number), self._headers)
        if status != expected:
            raise RuntimeError(f"the gateway answered {path} with {status}: {body[:300]!r}")
        answer: dict[str, Any] = json.loads(body)
        return answer

    def first_text(self, number: int) -> float:
        """The seconds until it is there."""
        began_s = time.monotonic()
        text = self.send("/transcribe", number, 200)["transcription"]
        spent_s = time.monotonic() - began_s
        if not text:
            raise RuntimeError("nothing was heard in the recording")
        return spent_s

    def submit(self, numbers: Iterable[int]) -> None:
        with ThreadPoolExecutor(JOBS) as senders:
            list(senders.map(lambda number: self.send("/v1/jobs", number, 202), numbers))


async def _ready(api: Api, namespace: str, number: int) -> float:
    """From just before it is applied until it says that it is ready."""
    server = _Server(api, namespace, f"bench-ready-{number}")
    began_s = time.monotonic()
    await server.create({})
    ready_s = await server.seen(_is_ready) - began_s
    await server.delete()
    return ready_s


def _is_ready(body: Manifest) -> bool:
    conditions = (body.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


async def _scaled(cluster: Cluster, api: Api, objects: Objects) -> dict[str, list[float]]:
    platform = Objects(cluster, PLATFORM)
    await asyncio.to_thread(platform.client, "bench")
    headers = {"X-API-Key": platform.client_key("bench")}
    server = _Server(api, objects.namespace, SCALED)
    await server.create({"autoscaling": _AUTOSCALING})
    samples: dict[str, list[float]] = {"wake_from_zero_s": [], "scale_decision_s": []}
    with forwarded(cluster, PLATFORM, installation.GATEWAY, installation.GATEWAY_PORT) as port:
        gateway = _Gateway(port, headers)
        await asyncio.to_thread(gateway.wait_knows, SCALED)
        # What is asked for first is later than what follows, and no part of either figure.
        await asyncio.to_thread(gateway.first_text, 0)
        for number in range(1, ROUNDS + 1):
            await server.asleep()
            samples["wake_from_zero_s"].append(await asyncio.to_thread(gateway.first_text, number))
            await server.asleep()
            # The operator looks at the queue once a second: at another moment between two looks each time.
            await asyncio.sleep(number / ROUNDS)
            samples["scale_decision_s"].append(await _decision(server, gateway, number * 100))
    return samples


async def _decision(server: _Server, gateway: _Gateway, first: int) -> float:
    """From just before the first of the jobs is sent until as many pods are wanted as all of them need."""
    began_s = time.monotonic()
    seen = asyncio.create_task(server.seen(lambda body: body["spec"].get("replicas") == PODS_FOR_THEM))
    await asyncio.to_thread(gateway.submit, range(first, first + JOBS))
    return await seen - began_s
