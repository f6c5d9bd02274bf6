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
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate

import httpx
import structlog
from pydantic import ValidationError

from whisper_contracts import names
from whisper_contracts.messages import SECRET_PREFIX, ClientRecord, HookTask
from whisper_dispatcher.addresses import is_public
from whisper_dispatcher.jetstream import buckets, topology
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.pull import Delivery, Puller, keep_in_progress
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jobs.index import JobIndex, JobView

log = structlog.get_logger()

DELAYS_S = (1.0, 30.0, 120.0, 600.0, 3600.0, 6 * 3600.0, 12 * 3600.0)
"""Between the tries; after the last the webhook is given up, and the job can still be asked for: all of them come
before a result's day is over."""

REQUEST_TIMEOUT_S = 10.0
"""From looking up the host to the status, whatever the receiver does."""
STATE_WAIT_S = 2.0
LOOK_AGAIN_S = 10.0
"""After which a webhook comes again whose job is not final, as far as this planner knows."""
IN_PROGRESS_EVERY_S = topology.PLAN_ACK_WAIT_S / 3
AT_A_TIME = 32
OF_ONE_CLIENT = 8
"""So that receivers that hang, however many names they have, leave room for those of the other clients."""
LONGEST_TURN_S = 600.0
PULL_S = 5.0
_LOOK_UPS = ThreadPoolExecutor(AT_A_TIME, "look-up")
"""Of their own: a name server that hangs must not hold the threads that cut recordings."""


def next_try_s(age_s: float) -> float | None:
    """Until the next of the tries that a webhook of this age is due; None: there is none left.

    By age, since deliveries count what was handed back untried, too.
    """
    return next((due_s - age_s for due_s in accumulate(DELAYS_S) if due_s > age_s), None)


def next_turn_s(age_s: float) -> float:
    """Until a webhook asks again that its client's others left no room for; longer, the longer they have."""
    return min(1.0 + age_s / 2, LONGEST_TURN_S)


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
    _in_flight: Counter[str] = field(default_factory=Counter)
    """By client."""

    async def run(self) -> None:
        """Several at a time, so that a receiver that is slow holds up no other."""
        puller = Puller(self.jetstream, names.HOOKS_STREAM, "hooks")
        await puller.start()
        free = asyncio.Semaphore(AT_A_TIME)
        async with (
            httpx.AsyncClient(timeout=REQUEST_TIMEOUT_S, follow_redirects=False) as http,
            asyncio.TaskGroup() as group,
        ):
            try:
                while await free.acquire():
                    if delivery := await self._next(puller):
                        task = group.create_task(self._hold(http, delivery))
                        task.add_done_callback(lambda _: free.release())
                    else:
                        free.release()
            finally:
                # First, or what is handed back would come to the request that is still open here.
                await puller.stop()

    async def _next(self, puller: Puller) -> Delivery | None:
        try:
            return await puller.pull(expires_s=PULL_S)
        except QueueUnavailable:
            await asyncio.sleep(0.5)
            return None

    async def _hold(self, http: httpx.AsyncClient, delivery: Delivery) -> None:
        progress = asyncio.create_task(keep_in_progress(delivery, IN_PROGRESS_EVERY_S))
        try:
            await self._handle(http, delivery)
        except asyncio.CancelledError:
            await delivery.hand_back()
            raise
        except QueueUnavailable as error:
            log.warning("webhook handed back", subject=delivery.subject, reason=str(error))
            await delivery.hand_back(delay_s=1.0)
        finally:
            progress.cancel()

    async def _handle(self, http: httpx.AsyncClient, delivery: Delivery) -> None:
        try:
            task = HookTask.decode(delivery.data)
        except ValidationError:
            log.error("a webhook message cannot be read", subject=delivery.subject)
            await delivery.ack()
            return
        if self._in_flight[task.client] >= OF_ONE_CLIENT:
            await delivery.hand_back(delay_s=next_turn_s(delivery.age_s))
            return
        self._in_flight[task.client] += 1
        try:
            await self._deliver(http, task, delivery)
        finally:
            self._in_flight[task.client] -= 1

    async def _deliver(self, http: httpx.AsyncClient, task: HookTask, delivery: Delivery) -> None:
        view = await self.index.wait_ended(task.job, task.generation, STATE_WAIT_S)
        if view is None:
            if await self._is_erased(task):
                log.info("webhook of an erased job dropped", job=task.job)
                await delivery.ack()
            else:
                # The planner died in between, or this one is behind the journal.
                await delivery.hand_back(delay_s=LOOK_AGAIN_S)
            return
        if view.generation > task.generation:
            log.info("webhook of a job that was requeued since dropped", job=task.job)
            await delivery.ack()
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
        """This planner's index may be behind, as a replica of the journal may."""
        return not await self.jetstream.holds(names.JOURNAL_STREAM, names.record_subject(task.client, task.job))

    async def _settle(self, delivery: Delivery, task: HookTask, *, ok: bool, problem: str) -> None:
        if ok:
            log.info("webhook delivered", job=task.job)
            await delivery.ack()
        elif (delay_s := next_try_s(delivery.age_s)) is None:
            log.warning("webhook given up", job=task.job, problem=problem)
            await delivery.ack()
        else:
            log.warning("webhook failed, will be tried again", job=task.job, problem=problem, delay_s=round(delay_s, 1))
            await delivery.hand_back(delay_s=delay_s)

    async def _send(self, http: httpx.AsyncClient, task: HookTask, view: JobView) -> int:
        body = hook_body(view)
        headers = signed_headers(await self._secret(task.client), task.id, int(time.time()), body)
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            return await self._post(http, task.url, body, headers)

    async def _post(self, http: httpx.AsyncClient, url: str, body: bytes, headers: dict[str, str]) -> int:
        """The status; what else the receiver answers is not read."""
        target = httpx.URL(url)
        host = target.raw_host.decode()
        port = target.port or (443 if target.scheme == "https" else 80)
        address = check_addresses(host, await _resolve(host, port), allow_private=self.allow_private)
        async with http.stream(
            "POST",
            # Connected to the very address that was checked: a second look-up could answer otherwise.
            target.copy_with(host=address),
            content=body,
            headers={**headers, "host": target.netloc.decode()},
            extensions={"sni_hostname": host},
        ) as response:
            return response.status_code

    async def _secret(self, client: str) -> str:
        records = await buckets.entries(self.jetstream, names.CLIENTS_BUCKET)
        found = (ClientRecord.decode(data) for data in records.values())
        return next((record.webhook_secret for record in found if record.client == client), "")


async def _resolve(host: str, port: int) -> list[str]:
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        infos = await asyncio.get_running_loop().run_in_executor(_LOOK_UPS, look_up)
    except socket.gaierror as error:
        raise OSError(f"{host} cannot be resolved") from error
    return list(dict.fromkeys(str(info[4][0]) for info in infos))
