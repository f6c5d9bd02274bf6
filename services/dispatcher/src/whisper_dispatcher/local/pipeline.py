"""Start and stop of the whole pipeline: nats-server, gateway, planner, worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.jobs.clients import Quotas, register_key
from whisper_dispatcher.local import commands, queue_setup
from whisper_dispatcher.local.commands import Access, Ports, Speech
from whisper_dispatcher.local.data_folder import DataFolder, Queue
from whisper_dispatcher.local.nats_server import server_config, syncs_every_write
from whisper_dispatcher.local.processes import Child, describe_exit, log_tail
from whisper_dispatcher.local.queue_watch import QueueWatch
from whisper_dispatcher.loopback import HOST, free_port, is_free

POLL_S = 0.05
NATS_START_S = 60.0
"""A store with many messages is read at the start."""
PIPELINE_START_S = 600.0
"""Large models take minutes to load."""
DEATHS_AT_START = 3

LOCAL_CLIENT = "whisperfleet up"
BOT_CLIENT = "telegram bot"


class StartFailed(Exception):
    """The sentence says which part did not start; its last log lines follow."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    folder: DataFolder
    queue: Queue
    ports: Ports
    speech: Speech
    nats_binary: Path
    tell: Callable[[str], None]
    children: list[Child] = field(default_factory=list)
    _watches: list[asyncio.Task[None]] = field(default_factory=list)
    with_bot: bool = False

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.ports.http}"

    @property
    def nats_url(self) -> str:
        return f"nats://{HOST}:{self.ports.nats}"

    @property
    def worker_probe_url(self) -> str:
        return f"http://{HOST}:{self.ports.worker_probe}"

    @property
    def planner_probe_url(self) -> str:
        return f"http://{HOST}:{self.ports.planner_probe}"

    async def start(self) -> None:
        """Returns once a job would be taken and worked on. Raises StartFailed."""
        await self._start_nats()
        await self._fill_queue()
        access = Access(self.nats_url, self.queue.passwords)
        for command in (
            commands.worker_command(self.folder, access, self.ports, self.speech),
            commands.planner_command(self.folder, access, self.ports),
            commands.gateway_command(self.folder, access, self.ports),
        ):
            await self._start(Child(command, self.tell))
        await self._until_ready()
        if self.with_bot:
            # Not waited for: Telegram may be away, and the rest works without it.
            await self._start(
                Child(commands.bot_command(self.folder, access, self.ports, self.queue.bot_key), self.tell)
            )

    async def _start(self, child: Child) -> None:
        self.children.append(child)
        await child.start()

    async def _start_nats(self) -> None:
        config = server_config(
            port=self.ports.nats,
            store=self.folder.store,
            limits=self.queue.limits,
            passwords=self.queue.passwords,
            models=(self.speech.model,),
        )
        self.folder.nats_config.touch(mode=0o600)
        self.folder.nats_config.write_text(config)
        server = Child(commands.nats_command(self.folder, self.nats_binary), self.tell)
        await self._start(server)
        async with self._start_limit(NATS_START_S):
            while not await _accepts(self.ports.nats):
                self._raise_if_dying()
                await asyncio.sleep(POLL_S)
        if not await syncs_every_write(self.nats_url, self.queue.passwords["system"]):
            raise StartFailed(
                f"The nats-server at {self.nats_binary} does not sync every write, so accepted jobs could be lost. "
                "Use NATS 2.14 or newer."
            )
        watch = QueueWatch(server, self.folder.store, self.tell)
        self._watches.append(asyncio.create_task(watch.run(self.nats_url, self.queue.passwords["system"])))

    async def _fill_queue(self) -> None:
        """Streams, the model and a client, before anybody asks for them."""
        jetstream = await self.admin()
        try:
            await queue_setup.prepare(jetstream, self.queue.limits, self.speech.model)
            await register_key(jetstream, self.queue.api_key, LOCAL_CLIENT, Quotas(operator=True))
            if self.with_bot:
                await register_key(jetstream, self.queue.bot_key, BOT_CLIENT)
        finally:
            await jetstream.close()

    async def admin(self) -> JetStream:
        return await JetStream.connect(
            self.nats_url, name="whisperfleet admin", user="admin", password=self.queue.passwords["admin"]
        )

    async def _until_ready(self) -> None:
        async with self._start_limit(PIPELINE_START_S), httpx.AsyncClient(timeout=5) as http:
            for url in (self.url, self.worker_probe_url, self.planner_probe_url):
                while not await _is_ready(http, url):
                    self._raise_if_dying()
                    await asyncio.sleep(POLL_S)

    @asynccontextmanager
    async def _start_limit(self, limit_s: float) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(limit_s):
                yield
        except TimeoutError:
            raise StartFailed(f"The pipeline was not ready within {limit_s:g} s. {self._logs_hint()}") from None

    def _raise_if_dying(self) -> None:
        for child in self.children:
            if child.deaths_in_a_row >= DEATHS_AT_START:
                tail = "\n".join(log_tail(child.command.log))
                raise StartFailed(
                    f"{child.command.name} {describe_exit(child.last_exit)} at every start. Its last lines:\n{tail}"
                )

    def _logs_hint(self) -> str:
        return f"The logs are in {self.folder.logs} (choose a folder with --data to keep them)."

    async def stop(self) -> None:
        """In the order of the data: no new jobs, windows finished, plans put down, and the queue last."""
        await self._end_watches()
        for name in ("bot", "gateway", "worker", "planner", "nats-server"):
            for child in self.children:
                if child.command.name == name:
                    await child.stop()

    async def kill(self) -> None:
        await self._end_watches()
        await asyncio.gather(*(child.kill() for child in self.children))

    async def _end_watches(self) -> None:
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)


def choose_ports(http_port: int) -> Ports:
    """http_port: 0 = any free one. Raises StartFailed when it is taken."""
    if http_port and not is_free(http_port):
        raise StartFailed(f"Port {http_port} is taken. Choose another with --port, or 0 for any free one.")
    return Ports(
        nats=free_port(),
        http=http_port or free_port(),
        planner_probe=free_port(),
        worker_probe=free_port(),
    )


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True


async def _is_ready(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(f"{url}/readyz")).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
