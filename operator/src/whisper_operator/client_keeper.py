"""Makes of each WhisperClient a key in a Secret and a record at the gateway; takes both away with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from whisper_dispatcher.jetstream.cancellation import heed_cancellation
from whisper_dispatcher.jetstream.errors import QueueFull, QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_operator.client import Client, parse_client
from whisper_operator.client_key import (
    client_record,
    foreign,
    is_kept_by,
    new_secret,
    record_owner,
    rotation_patch,
    secret_name,
    unusable,
)
from whisper_operator.client_registry import ClientRegistry, KeyTaken
from whisper_operator.client_status import registered_status, unregistered_status
from whisper_operator.cluster import ApiError, Cluster, Unreachable
from whisper_operator.crd.definition import WHISPER_CLIENT
from whisper_operator.events import Recorder
from whisper_operator.informer import Change
from whisper_operator.naming import controller
from whisper_operator.problems import Problem, sentence
from whisper_operator.resources import SECRETS, WHISPER_CLIENTS, Manifest, ObjectKey, key_of
from whisper_operator.server import InvalidSpec
from whisper_operator.settings import OperatorSettings
from whisper_operator.status_writer import StatusWriter, now
from whisper_operator.versions import is_answer_about, is_outdated
from whisper_operator.work_queue import KeyedQueue
from whisper_operator.working import NotAsWanted, Workers

log = structlog.get_logger()

RETRY_S = 2.0
CONNECT_GRACE_S = 5.0
"""After a start; that NATS is away is told of every client, and it should not be told for nothing."""
_AWAY = (QueueUnavailable, QueueFull, ApiError, Unreachable)


class ClientRefused(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.message)


class ClientKeeper:
    """To be made inside the running event loop."""

    def __init__(self, cluster: Cluster, settings: OperatorSettings, recorder: Recorder) -> None:
        self.clients: dict[ObjectKey, Manifest] = {}
        """Every WhisperClient as it was last seen."""
        self.queue: KeyedQueue[ObjectKey] = KeyedQueue()
        self._cluster = cluster
        self._settings = settings
        self._status = StatusWriter(cluster, WHISPER_CLIENTS, recorder)
        self._secrets: dict[ObjectKey, Manifest] = {}
        self._registry: ClientRegistry | None = None
        self._deleted = asyncio.Event()
        self._connected = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await self._wait_for_nats()
            async with asyncio.TaskGroup() as group:
                group.create_task(Workers(WHISPER_CLIENT.kind, self.queue, self.reconcile).run())
                group.create_task(self._keep_records())
        finally:
            self._registry = None
            self._connected.clear()
            self.queue.close()

    async def _wait_for_nats(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_GRACE_S):
                await self._connected.wait()
        except TimeoutError:
            log.warning("NATS is not reached yet", clients=len(self.clients))

    def connected(self, jetstream: JetStream) -> None:
        self._registry = ClientRegistry(jetstream)
        self._connected.set()
        self._deleted.set()
        for key in self.clients:
            self.queue.add(key)

    def see(self, body: Manifest) -> None:
        key = key_of(body)
        if not is_outdated(body, self.clients.get(key)):
            self.clients[key] = body
            self.queue.add(key)

    def changed(self, change: Change, body: Manifest) -> None:
        if change == "stored":
            self.see(body)
            return
        # Its Secret goes by its owner reference.
        key = key_of(body)
        self.clients.pop(key, None)
        self.queue.forget_failures(key)
        self._deleted.set()

    def secret_changed(self, change: Change, secret: Manifest) -> None:
        """Any of ours; those of no client are passed over."""
        owner = controller(secret)
        if not owner or owner["kind"] != WHISPER_CLIENT.kind:
            return
        key = key_of(secret)
        if change == "stored":
            self._secrets[key] = secret
        else:
            self._secrets.pop(key, None)
        self.queue.add((key[0], owner["name"]))

    async def reconcile(self, key: ObjectKey) -> float | None:
        body = self.clients.get(key)
        if body is None:
            return None
        if "deletionTimestamp" in body["metadata"]:
            self._deleted.set()
            return None
        try:
            client = parse_client(body)
            await self._register(client, await self._secret(client))
        except InvalidSpec as refusal:
            await self._tell_problem(body, Problem("InvalidSpec", str(refusal)))
        except ClientRefused as refusal:
            await self._tell_problem(body, refusal.problem)
            raise NotAsWanted(str(refusal)) from refusal
        except (QueueUnavailable, QueueFull) as error:
            problem = Problem(
                "QueueUnavailable", f"The gateway's records cannot be written: {error}. It is tried again."
            )
            await self._tell_problem(body, problem)
            raise NotAsWanted(problem.message) from error
        else:
            if key not in self.clients:
                self._deleted.set()  # its record may have come after the look that revokes
            await self._tell(body, registered_status(client, body.get("status") or {}, now()))
        return None

    async def _secret(self, client: Client) -> Manifest:
        """With a key that may be used: made once, and changed only where another rotation is asked for."""
        live = self._secrets.get((client.namespace, secret_name(client))) or await self._made(client)
        if problem := foreign(client, live):
            raise ClientRefused(problem)
        if patch := rotation_patch(client, live):
            log.info("another key", namespace=client.namespace, name=client.name, rotation=client.spec.rotation)
            live = await self._cluster.merge(SECRETS, client.namespace, secret_name(client), patch)
            self._secrets[client.namespace, secret_name(client)] = live
        if problem := unusable(live):
            raise ClientRefused(problem)
        return live

    async def _made(self, client: Client) -> Manifest:
        """Or the one that is there and was not seen: somebody took its labels."""
        try:
            made = await self._cluster.create(SECRETS, new_secret(client))
        except ApiError as error:
            there = await self._cluster.get(SECRETS, client.namespace, secret_name(client))
            if error.status != 409 or there is None:
                message = (
                    f"The Secret {secret_name(client)} in {client.namespace} was refused: {sentence(error.message)} "
                    f"Check quotas and the operator's role; it is tried again."
                )
                raise ClientRefused(Problem("SecretRefused", message)) from error
            return there
        self._secrets[client.namespace, secret_name(client)] = made
        return made

    async def _register(self, client: Client, secret: Manifest) -> None:
        if self._registry is None:
            raise QueueUnavailable("NATS was not reached yet")
        try:
            await self._registry.hold(*client_record(client, secret))
        except KeyTaken as error:
            message = (
                f"Another client has the key in Secret {secret_name(client)}. Delete the Secret; a new one is made."
            )
            raise ClientRefused(Problem("KeyTaken", message)) from error

    async def _tell_problem(self, body: Manifest, problem: Problem) -> None:
        generation = body["metadata"]["generation"]
        await self._tell(body, unregistered_status(generation, problem, body.get("status") or {}, now()))

    async def _tell(self, body: Manifest, status: Manifest) -> None:
        answer = await self._status.write(body, status)
        if answer and is_answer_about(answer, self.clients.get(key_of(answer))):
            self.see(answer)

    async def _keep_records(self) -> None:
        """Revokes at once what is deleted, and now and then what was deleted while nobody looked."""
        while True:
            self._deleted.clear()
            wait_s = self._settings.resync_s
            try:
                await self._prune()
            except _AWAY as error:
                log.warning("deleted clients are not revoked yet", error=str(error))
                wait_s = RETRY_S
            heed_cancellation()
            try:
                async with asyncio.timeout(wait_s):
                    await self._deleted.wait()
            except TimeoutError:
                self._look_again()

    def _look_again(self) -> None:
        if self._registry:
            self._registry.forget()
        for key in self.clients:
            self.queue.add(key)

    async def _prune(self) -> None:
        """Revokes nobody before the API server itself says who is left: our own picture may not be whole yet."""
        if self._registry is None:
            return
        kept = {owner for owner in await self._registry.owners() if is_kept_by(owner, self._settings.namespace)}
        if not kept - _owners(self.clients.values()):
            return
        there, _ = await self._cluster.list_all(WHISPER_CLIENTS, self._settings.namespace, "")
        await self._registry.withdraw(kept - _owners(there))


def _owners(bodies: Iterable[Manifest]) -> set[str]:
    metadata = [body["metadata"] for body in bodies]
    return {record_owner(each["namespace"], each["uid"]) for each in metadata if "deletionTimestamp" not in each}
