"""What several of the dispatcher's tests need from outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from gateway_harness import NatsServer, prepared_nats
from rich.console import Console

from whisper_dispatcher.jetstream.streams import JetStream, connected
from whisper_dispatcher.local.tools import ensure_whisper_server
from whisper_models.bundled import demo_model_path


@pytest.fixture(scope="session")
def whisper_server_binary() -> Path:
    return ensure_whisper_server(Console(stderr=True))


@pytest.fixture(scope="session")
def demo_model() -> Path:
    return demo_model_path()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Of a recording that is decoded."""
    return tmp_path / "decoded.pcm"


@pytest.fixture(scope="module")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with prepared_nats(tmp_path_factory.mktemp("nats")) as server:
        yield server


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
    with prepared_nats(tmp_path) as server:
        yield server
