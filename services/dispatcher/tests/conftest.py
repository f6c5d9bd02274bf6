"""What several of the dispatcher's tests need from outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from gateway_harness import NatsServer, prepare
from rich.console import Console

from whisper_dispatcher.jetstream import tail
from whisper_dispatcher.jetstream.connection import JetStream, connected
from whisper_dispatcher.local.tools import ensure_whisper_server
from whisper_models.bundled import demo_model_path


@pytest.fixture(scope="session")
def whisper_server_binary() -> Path:
    return ensure_whisper_server(Console(stderr=True))


@pytest.fixture(scope="session")
def demo_model() -> Path:
    return demo_model_path()


@pytest.fixture(autouse=True)
def patient_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A starved test machine is not a broken connection; servers that are killed are noticed all the same."""
    monkeypatch.setattr(tail, "SILENCE_LIMIT_S", 30.0)


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    try:
        asyncio.run(prepare(server.url))
        yield server
    finally:
        server.kill()


@pytest.fixture
def nats_url(nats_server: NatsServer) -> str:
    """A nats-server with every stream and one model; shared by the tests of a module."""
    return nats_server.url


@pytest.fixture
async def jetstream(nats_url: str) -> AsyncIterator[JetStream]:
    async with connected(nats_url, name="test") as jetstream:
        yield jetstream


@pytest.fixture
def own_nats(tmp_path: Path) -> Iterator[NatsServer]:
    """A nats-server with every stream that the test alone may kill and start again."""
    server = NatsServer(tmp_path)
    server.start()
    try:
        asyncio.run(prepare(server.url))
        yield server
    finally:
        server.kill()
