"""A nats-server, a gateway in this process, and a stand-in that plays planner and worker."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whisper_contracts import names
from whisper_contracts.failures import FailureReason
from whisper_contracts.messages import JobRecord, ModelRecord, Plan, Segment, WindowResult, WindowSpan, Word
from whisper_dispatcher.gateway.app import create_app
from whisper_dispatcher.gateway.gateway import Gateway
from whisper_dispatcher.gateway.settings import GatewaySettings
from whisper_dispatcher.jetstream import buckets, topology
from whisper_dispatcher.jetstream.streams import JetStream, Stored, connected
from whisper_dispatcher.jetstream.tail import Tail
from whisper_dispatcher.jobs import journal
from whisper_dispatcher.jobs.clients import Quotas, new_key, register_key
from whisper_dispatcher.jobs.index import JobIndex
from whisper_dispatcher.loopback import free_port

MODEL = "base.en"
WINDOW_S = 10.0
START_LIMIT_S = 60.0


class NatsServer:
    def __init__(self, folder: Path, store_bytes: int = 64 * 1024**3) -> None:
        self._folder = folder
        self._store_bytes = store_bytes
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    def start(self) -> None:
        config = {
            "listen": f"127.0.0.1:{self._port}",
            "jetstream": {
                "store_dir": str(self._folder / "store"),
                "sync_interval": "always",
                "max_file_store": self._store_bytes,
            },
        }
        file = self._folder / "nats.conf"
        file.write_text(json.dumps(config))
        binary = Path(sys.executable).with_name("nats-server")
        self._process = subprocess.Popen([binary, "--config", file], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
                return
        raise AssertionError("nats-server did not start")

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()


@contextmanager
def prepared_nats(folder: Path) -> Iterator[NatsServer]:
    """With every stream and one model."""
    server = NatsServer(folder)
    server.start()
    try:
        asyncio.run(prepare(server.url))
        yield server
    finally:
        server.kill()


@dataclass
class StandIn:
    """Plays planner and worker for every record it sees: the texts of the windows, or a failure."""

    jetstream: JetStream
    texts: list[str] = field(default_factory=lambda: ["Hello there."])
    failure: FailureReason | None = None
    after_plan: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: jobs stop before their plan."""
    after_window: dict[int, asyncio.Event] = field(default_factory=dict)
    """Windows wait for their event, if they have one, before their result is written."""
    after_text: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: jobs have all their text and are not `completed`."""
    seen: list[JobRecord] = field(default_factory=list)
    index: JobIndex = field(default_factory=JobIndex)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.after_plan.set()
        self.after_text.set()

    def apply(self, stored: Stored) -> None:
        self.index.apply(stored)
        if stored.subject.endswith(".record"):
            self._start(JobRecord.decode(stored.data))

    def _start(self, record: JobRecord) -> None:
        self.seen.append(record)
        task = asyncio.create_task(self._play(record))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _play(self, record: JobRecord) -> None:
        await self.after_plan.wait()
        if self.failure:
            view = self.index.get(record.job)
            assert view
            await journal.fail(self.jetstream, view, self.failure, f"It failed with {self.failure}.")
            return
        spans = tuple(WindowSpan(start_s=i * WINDOW_S, end_s=(i + 1) * WINDOW_S) for i in range(len(self.texts)))
        plan = Plan(duration_s=len(spans) * WINDOW_S, windows=spans, class_=record.class_)
        await journal.write_once(self.jetstream, names.plan_result_subject(record.client, record.job), plan)
        for index, text in enumerate(self.texts):
            if index in self.after_window:
                await self.after_window[index].wait()
            result = window_result(index, text)
            await journal.write_once(
                self.jetstream,
                names.window_result_subject(record.options.model, record.client, record.job, index),
                result,
            )
        await self.after_text.wait()
        view = self.index.get(record.job)
        if view and not view.is_final:
            await journal.complete(self.jetstream, view)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def window_result(index: int, text: str) -> WindowResult:
    start_s = index * WINDOW_S
    words = tuple(Word(word=word, start_s=start_s + i, end_s=start_s + i + 0.5) for i, word in enumerate(text.split()))
    segment = Segment(start_s=start_s, end_s=start_s + len(words), text=text, words=words)
    return WindowResult(index=index, language="en", segments=(segment,) if text else ())


class Overheard:
    """What an application answers, as soon as it says it: httpx shows nothing before the end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.said = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def note(message: Message) -> None:
            self.said += message.get("body", b"")
            await send(message)

        await self._app(scope, receive, note)


@dataclass
class Stage:
    gateway: Gateway
    app: Overheard
    http: httpx.AsyncClient
    """Sends a valid key."""
    jetstream: JetStream
    stand_in: StandIn
    key: str
    client: str

    async def new_key(self, quotas: Quotas | None = None) -> str:
        """A client the gateway knows already."""
        key = new_key()
        await register_key(self.jetstream, key, "another", quotas)
        await until(lambda: self.gateway.clients.find(key) is not None)
        return key

    async def transcribe(self, audio: bytes = b"RIFF audio", **form: str) -> httpx.Response:
        return await self.http.post("/transcribe", files={"file": ("note.wav", audio)}, data=form)

    async def submit(self, audio: bytes = b"RIFF audio", **form: str) -> str:
        answer = await self.http.post("/v1/jobs", files={"file": ("note.wav", audio)}, data=form)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job"]["id"])

    async def final(self, job: str) -> None:
        assert await self.gateway.index.wait_final(job, START_LIMIT_S)


async def prepare(url: str) -> None:
    async with connected(url, name="test") as jetstream:
        await prepare_with(jetstream, topology.Limits())


async def prepare_with(jetstream: JetStream, limits: topology.Limits) -> None:
    """Streams and one English model, known also as `small-talk`."""
    await topology.ensure_streams(jetstream, limits)
    model = ModelRecord(name=MODEL, aliases=("small-talk",), languages=("en",), default=True)
    await buckets.put(jetstream, names.MODELS_BUCKET, names.token(MODEL), model.encode())


@asynccontextmanager
async def stage(url: str, **settings: object) -> AsyncIterator[Stage]:
    gateway = Gateway(GatewaySettings(nats_url=url, **settings))  # type: ignore[arg-type]
    async with connected(url, name="test") as jetstream, connected(url, name="stand-in") as playing:
        key = new_key()
        await register_key(jetstream, key, "tester")
        stand_in = StandIn(playing)
        gateway.start()
        await until(lambda: gateway.is_current)
        client = gateway.clients.find(key)
        assert client
        tail = Tail(playing, names.JOURNAL_STREAM, [names.job_filter(client.client, "*")], stand_in.apply)
        await tail.start()
        app = Overheard(create_app(gateway))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://gateway", headers={"X-API-Key": key}, timeout=30
        ) as http:
            yield Stage(gateway, app, http, jetstream, stand_in, key, client.client)
        await stand_in.stop()
        await tail.stop()
        await gateway.stop()


async def until(holds: Callable[[], bool], limit_s: float = START_LIMIT_S) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.01)
