"""Webhooks: at least once, signed, never to addresses that are not public unless configured.

Signature and headers as standardwebhooks.com has them, so that receivers find a library for it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import structlog
from pydantic import ValidationError

from whisper_contracts import names
from whisper_contracts.messages import SECRET_PREFIX, ClientRecord, HookTask
from whisper_dispatcher.addresses import is_public
from whisper_dispatcher.jetstream import buckets
from whisper_dispatcher.jetstream.connection import JetStream
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.pull import Delivery, Puller
from whisper_dispatcher.jobs.index import JobIndex, JobView

log = structlog.get_logger()

DELAYS_S = (1.0, 30.0, 120.0, 600.0, 3600.0, 6 * 3600.0, 24 * 3600.0)
"""After the n-th failed delivery; then the webhook is given up, and the job can still be asked for."""

REQUEST_TIMEOUT_S = 10.0
STATE_WAIT_S = 2.0
LOOK_AGAIN_S = 10.0
"""After which a webhook comes again whose job is not final, as far as this planner knows."""
AT_A_TIME = 8
PULL_S = 5.0


class RefusedAddress(Exception):
    """The webhook's host is, or resolves to, an address this service does not talk to."""


def hook_body(view: JobView) -> bytes:
    state = view.state
    job = {
        "id": view.job,
        "state": view.name,
        "reason": state.reason if state else None,
        "message": (state.message if state else "") or None,
        "duration_s": view.duration_s,
    }
    event = {"type": f"job.{view.name}", "timestamp": int(state.at if state else 0), "data": job}
    return json.dumps(event, separators=(",", ":")).encode()


def signed_headers(secret: str, hook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{hook_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "content-type": "application/json",
        "webhook-id": hook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def check_addresses(host: str, addresses: list[str], *, allow_private: bool) -> str:
    """The address to connect to. One private address among public ones refuses the host: rebinding lives there."""
    if not addresses:
        raise RefusedAddress(f"{host} has no address")
    if not allow_private and not all(is_public(address) for address in addresses):
        raise RefusedAddress(f"{host} is not a public address")
    return addresses[0]


@dataclass
class HookSender:
    jetstream: JetStream
    index: JobIndex
    allow_private: bool

    async def run(self) -> None:
        """Several at a time, so that a receiver that is slow holds up no other."""
        async with (
            httpx.AsyncClient(timeout=REQUEST_TIMEOUT_S, follow_redirects=False) as http,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(AT_A_TIME):
                group.create_task(self._serve(http))

    async def _serve(self, http: httpx.AsyncClient) -> None:
        puller = Puller(self.jetstream, names.HOOKS_STREAM, "hooks")
        await puller.start()
        while True:
            try:
                delivery = await puller.pull(expires_s=PULL_S)
                if delivery:
                    await self._handle(http, delivery)
            except QueueUnavailable:
                await asyncio.sleep(0.5)

    async def _handle(self, http: httpx.AsyncClient, delivery: Delivery) -> None:
        try:
            task = HookTask.decode(delivery.data)
        except ValidationError:
            log.error("a webhook message cannot be read", subject=delivery.subject)
            await delivery.ack()
            return
        view = await self.index.wait_final(task.job, STATE_WAIT_S)
        if view is None:
            if await self._is_erased(task):
                log.info("webhook of an erased job dropped", job=task.job)
                await delivery.ack()
            else:
                # The planner died in between, or this one is behind the journal.
                await delivery.hand_back(delay_s=LOOK_AGAIN_S)
            return
        try:
            status = await self._send(http, task, view)
        except RefusedAddress as error:
            log.warning("webhook refused", job=task.job, reason=str(error))
            await delivery.ack()
            return
        except QueueUnavailable:
            raise
        # Whatever a stranger's address and its server bring about is a failed delivery.
        except Exception as error:
            status, problem = 0, type(error).__name__
        else:
            problem = f"status {status}"
        await self._settle(delivery, task, ok=200 <= status < 300, problem=problem)

    async def _is_erased(self, task: HookTask) -> bool:
        """Asks the journal's leader: this planner's index, and the replica that answers its reads, may be behind."""
        record = names.record_subject(task.client, task.job)
        return not await self.jetstream.subjects(names.JOURNAL_STREAM, record)

    async def _settle(self, delivery: Delivery, task: HookTask, *, ok: bool, problem: str) -> None:
        if ok:
            log.info("webhook delivered", job=task.job)
            await delivery.ack()
        elif delivery.deliveries > len(DELAYS_S):
            log.warning("webhook given up", job=task.job, problem=problem)
            await delivery.ack()
        else:
            delay_s = DELAYS_S[delivery.deliveries - 1]
            log.warning("webhook failed, will be tried again", job=task.job, problem=problem, delay_s=delay_s)
            await delivery.hand_back(delay_s=delay_s)

    async def _send(self, http: httpx.AsyncClient, task: HookTask, view: JobView) -> int:
        parts = urlsplit(task.url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        address = check_addresses(host, await _resolve(host, port), allow_private=self.allow_private)
        body = hook_body(view)
        headers = signed_headers(
            await self._secret(task.client), f"{task.job}.{task.generation}", int(time.time()), body
        )
        # Connected to the very address that was checked: a second look-up could answer otherwise.
        url = httpx.URL(task.url).copy_with(host=address)
        response = await http.post(
            url,
            content=body,
            headers={**headers, "host": parts.netloc.rpartition("@")[2]},
            extensions={"sni_hostname": host},
        )
        return response.status_code

    async def _secret(self, client: str) -> str:
        records = await buckets.entries(self.jetstream, names.CLIENTS_BUCKET)
        found = (ClientRecord.decode(data) for data in records.values())
        return next((record.webhook_secret for record in found if record.client == client), "")


async def _resolve(host: str, port: int) -> list[str]:
    try:
        infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise OSError(f"{host} cannot be resolved") from error
    return list(dict.fromkeys(str(info[4][0]) for info in infos))
