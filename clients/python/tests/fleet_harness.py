"""The whole pipeline as real processes, in front of a whisper-server that answers at once with fixed words."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import threading
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from whisper_dispatcher.local.commands import Speech
from whisper_dispatcher.local.data_folder import load_queue, open_folder
from whisper_dispatcher.local.pipeline import Pipeline, choose_ports
from whisper_dispatcher.local.tools import nats_server_path
from whisper_dispatcher.worker import stub_server
from whisper_models.bundled import demo_model_path, sample_path

SAMPLE_RATE_HZ = 16_000
TEXT = "hello world one two three"
START_S = 120.0


def recording(duration_s: float) -> bytes:
    """A WAV file of the bundled words, again and again. Its length tells it from others when it comes back."""
    size_bytes = 2 * round(duration_s * SAMPLE_RATE_HZ)
    with wave.open(str(sample_path("hello.wav")), "rb") as sound:
        spoken = sound.readframes(sound.getnframes())
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(SAMPLE_RATE_HZ)
        sound.writeframes((spoken * (size_bytes // len(spoken) + 1))[:size_bytes])
    return file.getvalue()


@dataclass(frozen=True, slots=True)
class Fleet:
    url: str
    key: str
    pipeline: Pipeline

    def pid(self, name: str) -> int | None:
        return next((child.pid for child in self.pipeline.children if child.command.name == name), None)

    def kill(self, name: str) -> None:
        """By SIGKILL; it is started again in half a second."""
        pid = self.pid(name)
        assert pid, f"{name} does not run"
        os.kill(pid, signal.SIGKILL)

    @contextmanager
    def halted(self, name: str) -> Iterator[None]:
        """Nothing happens in it meanwhile."""
        pid = self.pid(name)
        assert pid, f"{name} does not run"
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def wait_ready(self) -> None:
        until(lambda: is_ready(self.url), START_S)

    def jobs(self) -> list[dict[str, object]]:
        """Every job of the key, newest first."""
        with httpx.Client(base_url=self.url, headers={"X-API-Key": self.key}, timeout=60) as http:
            found: list[dict[str, object]] = []
            after: dict[str, str] = {}
            while True:
                page = http.get("/v1/jobs", params={"limit": "100"} | after).json()
                found += page["data"]
                if not page["has_more"]:
                    return found
                after = {"after": found[-1]["id"]}


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def until(holds: Callable[[], bool], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, f"it did not come about within {limit_s:g} s"
        time.sleep(0.02)


@contextmanager
def running(folder: Path, *, delay_ms: float, slots: int = 2) -> Iterator[Fleet]:
    """delay_ms: of an inference."""
    server = stub_server.write_program(folder, "--delay-ms", f"{delay_ms:g}", "--text", TEXT)
    with open_folder(folder / "data") as data, _loop() as loop:
        speech = Speech("stub.en", demo_model_path(), server, slots)
        pipeline = Pipeline(data, load_queue(data), choose_ports(0), speech, nats_server_path(), lambda line: None)
        try:
            _do(loop, pipeline.start())
            yield Fleet(pipeline.url, pipeline.queue.api_key, pipeline)
        finally:
            _do(loop, pipeline.kill())


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """In a thread of its own, which must outlive the processes: they end with the thread that started them."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _do(loop: asyncio.AbstractEventLoop, work: object) -> None:
    asyncio.run_coroutine_threadsafe(work, loop).result(START_S)  # type: ignore[arg-type]
