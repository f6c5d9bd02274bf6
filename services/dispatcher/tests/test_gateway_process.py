"""The gateway as a process of its own: memory, streaming, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from gateway_harness import StandIn, until

from whisper_contracts import names
from whisper_dispatcher.jetstream.streams import connected
from whisper_dispatcher.jetstream.tail import Tail
from whisper_dispatcher.jobs.clients import key_hash, new_key, register_key
from whisper_dispatcher.loopback import free_port

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    http: httpx.AsyncClient
    stand_in: StandIn
    key: str

    def peak_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024


@asynccontextmanager
async def gateway_process(url: str, drain_wait_s: float = 1.0) -> AsyncIterator[Running]:
    port, key = free_port(), new_key()
    own = {"NATS_URL": url, "PORT": str(port), "DRAIN_WAIT_S": str(drain_wait_s)}
    environment = os.environ | {f"WHISPERFLEET_{name}": value for name, value in own.items()}
    process = subprocess.Popen(  # noqa: ASYNC220 - returns at once
        [sys.executable, "-m", "whisper_dispatcher.gateway"], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        async with (
            connected(url, name="stand-in") as playing,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"X-API-Key": key}, timeout=60) as http,
        ):
            client = await register_key(playing, key, "tester")
            stand_in = StandIn(playing)
            tail = Tail(playing, names.JOURNAL_STREAM, [names.job_filter(client.client, "*")], stand_in.apply)
            await tail.start()
            await _ready(http)
            yield Running(process, http, stand_in, key)
            await stand_in.stop()
            await tail.stop()
    finally:
        process.kill()
        process.wait()


async def _ready(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                if (await http.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


def multipart(size_bytes: int) -> tuple[AsyncIterator[bytes], dict[str, str]]:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="long.wav"\r\n\r\n'
    tail = b"\r\n--b--\r\n"

    async def body() -> AsyncIterator[bytes]:
        yield head
        chunk = os.urandom(1024 * 1024)
        for _ in range(size_bytes // len(chunk)):
            yield chunk
        yield tail

    length = len(head) + size_bytes + len(tail)
    return body(), {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": str(length)}


async def test_a_long_upload_does_not_grow_memory(nats_url: str) -> None:
    """A tenth of the promise's size: growth that depends on the size would show at a tenth of the limit's room."""
    async with gateway_process(nats_url) as running:
        body, headers = multipart(4 * 1024 * 1024)
        assert (await running.http.post("/transcribe", content=body, headers=headers)).status_code == 200
        before = running.peak_mb()
        body, headers = multipart(128 * 1024 * 1024)
        assert (await running.http.post("/transcribe", content=body, headers=headers)).status_code == 200
        assert running.peak_mb() - before < 16


async def test_a_client_that_sends_on_still_reads_why_it_was_refused(nats_url: str) -> None:
    """Cut off while it sends, the client would see a reset connection, and send everything again."""
    async with gateway_process(nats_url) as running:
        body, headers = multipart(64 * 1024 * 1024)
        answer = await running.http.post("/transcribe", content=body, headers=headers | {"X-API-Key": "wrong"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_a_refused_upload_without_end_is_cut_off(nats_url: str) -> None:
    async with gateway_process(nats_url) as running:
        body, headers = multipart(8 * 1024**3)
        with pytest.raises(httpx.TransportError):
            await running.http.post("/transcribe", content=body, headers=headers | {"X-API-Key": "wrong"})


async def test_windows_are_streamed_before_the_job_is_done(nats_url: str) -> None:
    async with gateway_process(nats_url) as running:
        running.stand_in.texts = ["One.", "Two."]
        second = running.stand_in.after_window[1] = asyncio.Event()
        form = {"files": {"file": b"audio"}, "data": {"stream": "true"}}
        lines = []
        async with running.http.stream("POST", "/v1/audio/transcriptions", **form) as answer:
            async for line in answer.aiter_lines():
                lines += [line] if line else []
                if '"One."' in line:
                    assert not second.is_set()
                    second.set()
        assert lines[0] == 'data: {"type":"transcript.text.delta","delta":"One."}'
        assert lines[1] == 'data: {"type":"transcript.text.delta","delta":" Two."}'
        assert '"text":"One. Two."' in lines[2]
        assert lines[3] == "data: [DONE]"


async def test_a_request_that_waits_at_sigterm_still_gets_its_text(nats_url: str) -> None:
    async with gateway_process(nats_url, drain_wait_s=30.0) as running:
        running.stand_in.after_plan.clear()
        waiting = asyncio.create_task(running.http.post("/transcribe", files={"file": b"audio"}))
        await until(lambda: bool(running.stand_in.seen))
        running.process.send_signal(signal.SIGTERM)
        asyncio.get_running_loop().call_later(0.25, running.stand_in.after_plan.set)
        assert (await waiting).json() == {"transcription": "Hello there."}
        await until(lambda: running.process.poll() is not None)


async def test_a_request_that_waits_too_long_at_sigterm_gets_its_jobs_address(nats_url: str) -> None:
    async with gateway_process(nats_url) as running:
        running.stand_in.after_plan.clear()
        waiting = [
            asyncio.create_task(running.http.post(path, files={"file": b"audio"}))
            for path in ("/transcribe", "/v1/audio/transcriptions")
        ]
        for _ in range(1000):
            if "whisper_gateway_jobs_joined_total 1.0" in (await running.http.get("/metrics")).text:
                break
            await asyncio.sleep(0.02)
        running.process.send_signal(signal.SIGTERM)
        own, like_openai = await asyncio.gather(*waiting)
        assert own.status_code == 202
        assert (like_openai.status_code, like_openai.headers["x-should-retry"]) == (503, "true")
        assert own.headers["location"] == like_openai.headers["location"]
        await until(lambda: running.process.poll() is not None)


async def test_a_key_made_elsewhere_is_stored_only_as_its_hash(nats_url: str) -> None:
    async with gateway_process(nats_url) as running, connected(nats_url, name="test") as jetstream:
        stored = await jetstream.get_all_last(f"KV_{names.CLIENTS_BUCKET}", [f"$KV.{names.CLIENTS_BUCKET}.>"])
        assert key_hash(running.key) in [each.subject.rsplit(".", 1)[1] for each in stored]
        assert all(running.key.encode() not in each.data for each in stored)
