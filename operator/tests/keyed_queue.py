"""A real nats-server that trusts keys made as the operator makes them, with a window on each of two queues."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from whisper_contracts import names
from whisper_dispatcher.jetstream import topology
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jetstream.topology import Limits
from whisper_dispatcher.local.tools import nats_server_path
from whisper_dispatcher.loopback import free_port
from whisper_operator import nats_jwt, nats_keys
from whisper_operator.nats_users import Signing, inbox_prefix, worker_credentials

MIB = 1024**2
LIMITS = Limits(windows_bytes=16 * MIB, journal_bytes=16 * MIB, audio_bytes=16 * MIB)
OWN, OTHER = "demo.en", "base.en"


@dataclass(frozen=True)
class KeyedQueue:
    url: str
    keys: dict[str, str]
    folder: Path

    @property
    def signing(self) -> Signing:
        return Signing(self.keys["account.pub"], self.keys["account-signing.seed"])

    def file(self, credentials: str) -> str:
        path = self.folder / f"{secrets.token_hex(8)}.creds"
        path.write_text(credentials)
        return str(path)

    async def connect(self, credentials: str, inbox: str) -> JetStream:
        async with asyncio.timeout(60):
            return await JetStream.connect(
                self.url, name="test", credentials=self.file(credentials), inbox_prefix=inbox
            )

    async def answer(self, credentials: str) -> bytes:
        """To a connection with them, in NATS' own protocol: nats-py leaves a refused one open."""
        jwt, seed = credentials.splitlines()[1], credentials.splitlines()[5]
        reader, writer = await asyncio.open_connection(*self.url.removeprefix("nats://").split(":"))
        try:
            nonce = json.loads((await reader.readline()).removeprefix(b"INFO "))["nonce"]
            signature = base64.urlsafe_b64encode(nats_jwt.key_from_seed(seed).sign(nonce.encode())).decode()
            login = {"jwt": jwt, "sig": signature.rstrip("="), "protocol": 1, "verbose": False, "pedantic": False}
            writer.write(f"CONNECT {json.dumps(login)}\r\nPING\r\n".encode())
            return await asyncio.wait_for(reader.readline(), 10)
        finally:
            writer.close()

    async def as_process(self, name: str) -> JetStream:
        return await self.connect(self.keys[f"{name}.creds"], f"_INBOX_{name}")

    async def as_worker(self, uid: str, queue: str) -> JetStream:
        found = worker_credentials(self.signing, uid=uid, name=uid, queue=queue, now_s=time.time())
        return await self.connect(found, inbox_prefix(uid))

    async def as_anybody_among_workers(self) -> JetStream:
        everything = {"publish": {"allow": [">"]}, "subscribe": {"allow": [">"]}}
        user = nats_jwt.key_of("user", secrets.token_bytes(nats_jwt.SEED_BYTES))
        jwt = nats_jwt.user_jwt(
            nats_jwt.key_from_seed(self.signing.seed),
            nats_jwt.public(user),
            account=self.signing.account,
            name="anybody",
            permissions=everything,
            issued_at=int(time.time()),
        )
        return await self.connect(nats_jwt.credentials(jwt, nats_jwt.seed(user)), "_INBOX_anybody")


@contextmanager
def keyed_queue(folder: Path) -> Iterator[KeyedQueue]:
    keys = nats_keys.new_keys(secrets.token_bytes, int(time.time()))
    port = free_port()
    (folder / "auth.conf").write_text(keys["auth.conf"])
    config = folder / "nats.conf"
    config.write_text(
        f"listen: 127.0.0.1:{port}\njetstream {{ store_dir: {json.dumps(str(folder / 'store'))} }}\ninclude auth.conf\n"
    )
    process = subprocess.Popen([nats_server_path(), "--config", config], stderr=subprocess.DEVNULL)
    try:
        found = KeyedQueue(f"nats://127.0.0.1:{port}", keys, folder)
        asyncio.run(_prepare(found))
        yield found
    finally:
        process.kill()
        process.wait()


async def _prepare(queue: KeyedQueue) -> None:
    operator = await queue.as_process("operator")
    await topology.ensure_streams(operator, LIMITS)
    for model in (OWN, OTHER):
        await topology.ensure_model(operator, model)
        await operator.publish(names.window_subject(model, "bulk", "client", "job", 0), model.encode())
    await operator.close()
