"""The API server as somebody else than the operator uses it."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from whisper_operator.resources import CHILDREN, REVISIONS, WHISPER_CLIENTS, WHISPER_SERVERS, Resource

Manifest = dict[str, Any]
Request = tuple[str, str, str]
"""Verb, resource and subresource, as the API server counts them."""

CONNECTIONS = 32
LIMITS = aiohttp.ClientTimeout(total=30)
MERGE = "application/merge-patch+json"
CRDS = Path("manifests/crds")
NAMESPACE = "bench-operator"
KINDS = tuple(resource for resource in CHILDREN if resource != REVISIONS)
"""Of a server's children, those that it has before a pod was ready."""
_SERVED_LIMIT_S = 30.0
_CRD_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Api:
    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session

    async def create(self, path: str, manifest: Manifest) -> Manifest:
        return await self.send("POST", path, manifest)

    async def patch(self, path: str, change: Mapping[str, Any]) -> Manifest:
        return await self.send("PATCH", f"{path}?fieldManager=bench", change, MERGE)

    async def delete(self, path: str) -> None:
        await self.send("DELETE", path, {"propagationPolicy": "Background"})

    async def send(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Manifest:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content_type}
        async with self._session.request(
            method, self._url + path, data=data, headers=headers, timeout=LIMITS
        ) as response:
            answer = await response.read()
            if response.status >= 400:
                raise RuntimeError(f"the API server answered {method} {path} with {response.status}: {answer[:500]!r}")
            found: Manifest = json.loads(answer)
            return found

    async def watch(self, path: str, version: str) -> AsyncIterator[tuple[str, Manifest]]:
        """Type and object of each event, until the server ends it."""
        limits = aiohttp.ClientTimeout(total=None, sock_read=None)
        rest = b""
        async with self._session.get(
            f"{self._url}{path}?watch=1&resourceVersion={version}&timeoutSeconds=3600", timeout=limits
        ) as response:
            if response.status >= 400:
                raise RuntimeError(f"the API server answered the watch of {path} with {response.status}")
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise RuntimeError(f"the API server ended the watch of {path}: {event['object']}")
                    yield event["type"], event["object"]

    async def requests(self) -> Counter[Request]:
        """How many the API server has had."""
        async with self._session.get(f"{self._url}/metrics", timeout=LIMITS) as response:
            return counted(await response.text())

    async def install_kinds(self) -> None:
        """The operator's, and a namespace for objects of them."""
        await self.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        for file in sorted(CRDS.glob("*.yaml")):
            await self.create(_CRD_PATH, yaml.safe_load(file.read_text()))
        for resource in (WHISPER_SERVERS, WHISPER_CLIENTS):
            await self._wait_served(resource)

    async def _wait_served(self, resource: Resource) -> None:
        """A kind that has just been made is refused for a second or two."""
        deadline = time.monotonic() + _SERVED_LIMIT_S
        while True:
            try:
                await self.send("GET", path_of(resource))
                return
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.1)


def counted(metrics: str) -> Counter[Request]:
    found: Counter[Request] = Counter()
    for line in metrics.splitlines():
        if line.startswith("apiserver_request_total{"):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            request = (labels["verb"], labels["resource"], labels["subresource"])
            found[request] += int(float(line.rsplit(" ", 1)[1]))
    return found


_CHILDREN = {resource.plural for resource in CHILDREN}
_READS = {"GET", "LIST", "WATCH", "CONNECT"}


def applied(requests: Counter[Request]) -> int:
    """Children that somebody has applied: nobody but the operator does."""
    return sum(count for (verb, plural, _), count in requests.items() if verb == "APPLY" and plural in _CHILDREN)


def written(requests: Counter[Request]) -> Counter[Request]:
    """What may have changed our objects or, from us, their children: controllers of the cluster write those too."""
    ours = {
        request: count
        for request, count in requests.items()
        if (request[1] == WHISPER_SERVERS.plural and request[0] not in _READS)
        or (request[1] in _CHILDREN and request[0] in ("APPLY", "DELETE"))
    }
    return Counter(ours)


def path_of(resource: Resource, name: str | None = None) -> str:
    return resource.path(NAMESPACE, name)


@asynccontextmanager
async def connected(
    url: str, tls: ssl.SSLContext | bool, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Api]:
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=tls)
    own = {"User-Agent": "whisperfleet-bench"}
    async with aiohttp.ClientSession(connector=connector, headers=own | dict(headers or {})) as session:
        yield Api(url, session)
