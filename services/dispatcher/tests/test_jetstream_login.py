"""A login that NATS takes back while it is used."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from whisper_dispatcher.jetstream.streams import connected
from whisper_dispatcher.loopback import free_port


@dataclass(frozen=True)
class Nats:
    server: subprocess.Popen[bytes]
    file: Path
    port: int


def configure(file: Path, port: int, password: str) -> None:
    users = [{"user": "planner", "password": password}]
    file.write_text(json.dumps({"listen": f"127.0.0.1:{port}", "authorization": {"users": users}}))


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[Nats]:
    file, port = tmp_path / "nats.conf", free_port()
    configure(file, port, "the same")
    server = subprocess.Popen([Path(sys.executable).with_name("nats-server"), "--config", file])
    yield Nats(server, file, port)
    server.kill()
    server.wait()


@pytest.mark.parametrize("password", ["the same", "another"])
async def test_a_connection_that_nats_ends_for_good_is_told_as_lost(nats: Nats, password: str) -> None:
    """nats-py does not connect again then: the process would look well and do nothing for ever."""
    lost = asyncio.Event()
    url = f"nats://127.0.0.1:{nats.port}"
    async with connected(url, name="test", user="planner", password="the same") as jetstream:
        jetstream.on_loss(lost.set)
        configure(nats.file, nats.port, password)
        nats.server.send_signal(signal.SIGHUP)
        if password == "another":
            await asyncio.wait_for(lost.wait(), 30)
        else:
            await jetstream.client.flush()
    assert lost.is_set() is (password == "another")
