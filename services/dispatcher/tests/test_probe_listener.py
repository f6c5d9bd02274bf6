from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from whisper_dispatcher import probes


class State:
    problem: str | None = None


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
async def port(state: State) -> AsyncIterator[int]:
    server = await probes.serve("127.0.0.1", 0, healthy=lambda: None, ready=lambda: state.problem)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def ask(port: int, path: str) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.get(f"http://127.0.0.1:{port}{path}")


async def test_readiness_follows_the_process_and_says_why(port: int, state: State) -> None:
    assert (await ask(port, "/readyz")).status_code == 200
    state.problem = "NATS is away."
    answer = await ask(port, "/readyz?verbose")
    assert (answer.status_code, answer.text) == (503, "NATS is away.")
    assert (await ask(port, "/healthz")).status_code == 200


async def test_metrics_are_in_prometheus_format(port: int) -> None:
    answer = await ask(port, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "# TYPE process_cpu_seconds_total counter" in answer.text


async def test_there_is_nothing_else(port: int) -> None:
    assert (await ask(port, "/etc/passwd")).status_code == 404


@pytest.mark.parametrize("junk", [b"", b"\r\n\r\n", b"\x16\x03\x01" + bytes(100), b"GET " + b"a" * 100_000])
async def test_junk_is_cut_off_and_the_next_prober_is_answered(port: int, junk: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(junk)
    writer.write_eof()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    assert (await ask(port, "/healthz")).text == "ok"
