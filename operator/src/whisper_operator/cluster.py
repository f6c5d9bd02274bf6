"""The API server, over one pool of connections. aiohttp's exceptions stop here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from whisper_operator.access import Access
from whisper_operator.naming import FIELD_MANAGER
from whisper_operator.resources import PODS, Manifest, Resource

CONNECTIONS = 16
REQUEST_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 5.0
PAGE_SIZE = 250
WATCH_S = 300
WATCH_SILENCE_S = 75.0
"""Bookmarks come every minute: a longer silence is a dead connection."""

_TRANSPORT_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)


class Unreachable(Exception):
    """The API server did not answer, or is overloaded. The same call may succeed later."""


class NotLeading(Unreachable):
    """Another operator writes now."""


class ApiError(Exception):
    """The API server refused. `message` is its own sentence."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        self.status = status
        self.reason = reason
        self.message = message
        super().__init__(f"{message} (HTTP {status})")


class Cluster:
    def __init__(
        self, access: Access, session: aiohttp.ClientSession, may_write: Callable[[], bool] | None = None
    ) -> None:
        self._access = access
        self._session = session
        self._may_write = may_write

    def guarded(self, may_write: Callable[[], bool]) -> Cluster:
        """The same, for one who asks before every write; writes may raise NotLeading then."""
        return Cluster(self._access, self._session, may_write)

    async def apply(self, resource: Resource, manifest: Manifest, *, force: bool) -> Manifest:
        """Server-side apply. force: take over fields that somebody else has set."""
        metadata = manifest["metadata"]
        return await self._send(
            "PATCH",
            resource.path(metadata["namespace"], metadata["name"]),
            content_type="application/apply-patch+yaml",
            body=manifest,
            params={"fieldManager": FIELD_MANAGER, "force": "true" if force else "false"},
        )

    async def delete(self, resource: Resource, live: Manifest) -> None:
        """Only this very object, and not one of its name that came after it."""
        metadata = live["metadata"]
        options = {"propagationPolicy": "Background", "preconditions": {"uid": metadata["uid"]}}
        try:
            await self._send("DELETE", resource.path(metadata["namespace"], metadata["name"]), body=options)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def merge_status(self, resource: Resource, namespace: str, name: str, status: Manifest) -> Manifest:
        return await self._send(
            "PATCH",
            resource.path(namespace, name) + "/status",
            content_type="application/merge-patch+json",
            body={"status": status},
            params={"fieldManager": FIELD_MANAGER},
        )

    async def merge(self, resource: Resource, namespace: str, name: str, patch: Manifest) -> Manifest:
        """patch: a resourceVersion in it makes it hold for that version alone."""
        return await self._send(
            "PATCH",
            resource.path(namespace, name),
            content_type="application/merge-patch+json",
            body=patch,
            params={"fieldManager": FIELD_MANAGER},
        )

    async def scale(self, resource: Resource, namespace: str, name: str, replicas: int) -> None:
        await self._send(
            "PATCH",
            resource.path(namespace, name) + "/scale",
            content_type="application/merge-patch+json",
            body={"spec": {"replicas": replicas}},
            params={"fieldManager": FIELD_MANAGER},
        )

    async def create(self, resource: Resource, manifest: Manifest) -> Manifest:
        path = resource.path(manifest["metadata"]["namespace"])
        return await self._send("POST", path, body=manifest, params={"fieldManager": FIELD_MANAGER})

    async def get(self, resource: Resource, namespace: str, name: str) -> Manifest | None:
        try:
            return await self._send("GET", resource.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def replace(self, resource: Resource, manifest: Manifest) -> Manifest:
        """Only the version that the manifest was read as."""
        metadata = manifest["metadata"]
        return await self._send("PUT", resource.path(metadata["namespace"], metadata["name"]), body=manifest)

    async def last_log_line(self, namespace: str, pod: str, container: str) -> str:
        return (await self._log(namespace, pod, {"tailLines": "1", "container": container})).strip()

    async def first_log_bytes(self, namespace: str, pod: str, container: str, count: int) -> str:
        return await self._log(namespace, pod, {"limitBytes": str(count), "container": container})

    async def _log(self, namespace: str, pod: str, params: Mapping[str, str]) -> str:
        path = PODS.path(namespace, pod) + "/log"
        async with self._request("GET", path, params=params) as response:
            if response.status >= 400:
                raise await _error(response, path)
            return await response.text(errors="replace")

    async def list_all(self, resource: Resource, namespace: str | None, selector: str) -> tuple[list[Manifest], str]:
        """Every object, and the resource version from which a watch goes on."""
        found: list[Manifest] = []
        params = {"labelSelector": selector, "limit": str(PAGE_SIZE)}
        while True:
            page = await self._send("GET", resource.path(namespace), params=params)
            # The parts of a list do not say what they are.
            identity = {"apiVersion": resource.api_version, "kind": resource.kind}
            found += [item | identity for item in page["items"]]
            if not (follow := page["metadata"].get("continue")):
                return found, page["metadata"]["resourceVersion"]
            params["continue"] = follow

    async def watch(
        self, resource: Resource, namespace: str | None, selector: str, resource_version: str
    ) -> AsyncIterator[tuple[str, Manifest]]:
        """Type and object of each event, bookmarks among them; ends when the server ends it."""
        params = {
            "watch": "1",
            "labelSelector": selector,
            "resourceVersion": resource_version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_S),
        }
        limits = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S, sock_read=WATCH_SILENCE_S)
        async with self._request("GET", resource.path(namespace), params=params, limits=limits) as response:
            if response.status >= 400:
                raise await _error(response, resource.plural)
            async for line in _lines(response.content):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    problem = event["object"]
                    raise ApiError(problem.get("code", 500), problem.get("reason", ""), problem.get("message", ""))
                yield event["type"], event["object"]

    async def _send(
        self,
        method: str,
        path: str,
        *,
        content_type: str = "application/json",
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Manifest:
        async with self._request(method, path, params=params, body=body, content_type=content_type) as response:
            if response.status >= 400:
                raise await _error(response, path)
            answer: Manifest = json.loads(await response.read())
            return answer

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        limits: aiohttp.ClientTimeout | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if method != "GET" and self._may_write and not self._may_write():
            raise NotLeading(f"This operator does not lead: {method} {path} is for another one to do.")
        try:
            async with self._session.request(
                method,
                self._access.url + path,
                params=params,
                data=None if body is None else json.dumps(body).encode(),
                headers=self._access.headers() | {"Content-Type": content_type},
                timeout=limits or aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
                server_hostname=self._access.server_name,
            ) as response:
                yield response
        except _TRANSPORT_ERRORS as error:
            raise Unreachable(
                f"The API server did not answer {method} {path}: {error or type(error).__name__}"
            ) from error


async def _error(response: aiohttp.ClientResponse, path: str) -> Exception:
    text = await response.text(errors="replace")
    if response.status == 429 or response.status >= 500:
        return Unreachable(f"The API server answered {path} with HTTP {response.status}: {text[:200]}")
    try:
        status = json.loads(text)
        return ApiError(response.status, status.get("reason", ""), status.get("message", text[:500]))
    except (ValueError, AttributeError):
        return ApiError(response.status, "", text[:500])


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Not readline(): it refuses lines beyond its buffer, and an object may have a megabyte."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line


@asynccontextmanager
async def connect(access: Access) -> AsyncIterator[Cluster]:
    tls = await asyncio.to_thread(access.tls)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS + 16, ssl=tls),
        headers={"User-Agent": FIELD_MANAGER, "Accept": "application/json"},
    ) as session:
        yield Cluster(access, session)
