"""The client: sends each recording until it is accepted, with one Idempotency-Key, and reads what became of it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from chaos import recordings
from chaos.recordings import Recording

REQUEST_TIMEOUT_S = 20.0
ANSWER_LIMIT_S = 90.0
RETRY_S = 0.5
SENDERS = 4
LONGEST_PAUSE_S = 2.0
RETRIED = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(slots=True)
class Upload:
    key: str
    recording: Recording
    data: bytes
    answered_ids: set[str] = field(default_factory=set)
    tries: int = 0
    refusal: str = ""
    """The answer that another try could not have changed."""


def uploads(known: dict[str, Recording], count: int, label: str) -> list[Upload]:
    made = []
    for number in range(count):
        recording = known[recordings.name_of(number)]
        made.append(Upload(f"{label}-{number}", recording, recordings.numbered(recording, number)))
    return made


class Client:
    def __init__(self, url: str, api_key: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"X-API-Key": api_key},
            timeout=REQUEST_TIMEOUT_S,
            trust_env=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def send_all(self, waiting: Iterable[Upload], *, seed: int) -> None:
        """Some at a time, with pauses, so that the sending lasts over many kills."""
        queue = list(waiting)[::-1]
        rng = random.Random(seed)  # noqa: S311  pauses, not secrets

        async def sender() -> None:
            while queue:
                await self.send(queue.pop())
                await asyncio.sleep(rng.uniform(0.0, LONGEST_PAUSE_S))

        await asyncio.gather(*(sender() for _ in range(SENDERS)))

    async def send(self, upload: Upload) -> None:
        while not upload.answered_ids and not upload.refusal:
            upload.tries += 1
            await self._try(upload)

    async def send_again(self, upload: Upload) -> None:
        """As a client does that has lost the first answer."""
        await self._try(upload)

    async def _try(self, upload: Upload) -> None:
        try:
            response = await self._http.post(
                "/v1/jobs",
                files={"file": (upload.recording.name, upload.data)},
                headers={"Idempotency-Key": upload.key},
            )
        except httpx.HTTPError:
            await asyncio.sleep(RETRY_S)
            return
        if response.status_code == httpx.codes.ACCEPTED:
            upload.answered_ids.add(response.json()["job"]["id"])
        elif response.status_code in RETRIED:
            await asyncio.sleep(RETRY_S)
        else:
            upload.refusal = f"{response.status_code}: {response.text[:200]}"

    async def listed(self) -> dict[str, dict[str, Any]]:
        """Every job of this client, by id."""
        jobs: dict[str, dict[str, Any]] = {}
        after: dict[str, str] = {}
        while True:
            page = (await self._get("/v1/jobs", params={"limit": "100", **after})).json()
            jobs |= {job["id"]: job for job in page["data"]}
            if not page["has_more"]:
                return jobs
            after = {"after": page["data"][-1]["id"]}

    async def job(self, job: str) -> dict[str, Any]:
        """Empty when there is no such job."""
        response = await self._get(f"/v1/jobs/{job}")
        body: dict[str, Any] = response.json()
        return body if response.is_success else {}

    async def text(self, job: str) -> str | None:
        response = await self._get(f"/v1/jobs/{job}/result", params={"format": "text"})
        return response.text.strip() if response.is_success else None

    async def events(self, job: str) -> list[str]:
        """Names of the events of a final job, in order."""
        response = await self._get(f"/v1/jobs/{job}/events")
        lines = response.text.splitlines()
        return [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]

    async def _get(self, path: str, params: dict[str, str] | None = None) -> httpx.Response:
        """Until the gateway answers, which it may not do for a while after a restart. Raises TimeoutError."""
        async with asyncio.timeout(ANSWER_LIMIT_S):
            while True:
                with suppress(httpx.HTTPError):
                    response = await self._http.get(path, params=params)
                    if response.status_code not in RETRIED:
                        return response
                await asyncio.sleep(RETRY_S)
