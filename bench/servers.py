"""The outside servers of a measurement, each on a free loopback port, with its data in a temporary folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from bench.figures import NotRun
from whisper_dispatcher.local.tools import nats_server_path
from whisper_dispatcher.loopback import HOST, free_port

Durability = Literal["synced", "default"]
"""synced: on disk before it is acknowledged. default: what the server does when nobody says otherwise."""

START_S = 20.0
STOP_S = 15.0


@contextmanager
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="whisperfleet-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def process(argv: list[str], log: Path, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Stopped at the end, with every process of its group."""
    with log.open("ab") as output:
        running = subprocess.Popen(
            argv,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield running
    finally:
        try:
            running.terminate()
            with suppress(subprocess.TimeoutExpired):
                running.wait(STOP_S)
        finally:  # after a second Ctrl-C too
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()


def wait_for_port(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        if server.poll() is not None:
            break
        time.sleep(0.02)
    raise NotRun(f"{server.args!r} did not start: {log.read_text(errors='replace')[-2000:]}")


@contextmanager
def nats_server(durability: Durability) -> Iterator[str]:
    """Its URL."""
    with folder() as data:
        port = free_port()
        jetstream = {"store_dir": str(data / "store")}
        if durability == "synced":
            jetstream["sync_interval"] = "always"
        config = data / "nats.conf"
        config.write_text(json.dumps({"listen": f"{HOST}:{port}", "jetstream": jetstream}))
        log = data / "log"
        with process([str(nats_server_path()), "--config", str(config)], log) as server:
            wait_for_port(port, server, log)
            yield f"nats://{HOST}:{port}"


@contextmanager
def redis_server(durability: Durability) -> Iterator[str]:
    """Its URL. An append-only file in both cases; synced at every write, or every second as Redis does by itself."""
    with folder() as data:
        port = free_port()
        log = data / "log"
        fsync = "always" if durability == "synced" else "everysec"
        argv = [redis_path(), "--bind", HOST, "--port", str(port), "--dir", str(data)]
        argv += ["--save", "", "--appendonly", "yes", "--appendfsync", fsync]
        with process(argv, log) as server:
            wait_for_port(port, server, log)
            yield f"redis://{HOST}:{port}/0"


def redis_path() -> str:
    path = shutil.which("redis-server")
    if path is None:
        raise NotRun("There is no redis-server on the PATH. Install it (Debian: apt-get install redis-server).")
    return path


@contextmanager
def stub_server(data: Path, delay_ms: float) -> Iterator[int]:
    """The port of a stand-in for whisper-server that takes a fixed time."""
    port, log = free_port(), data / f"stub-{time.monotonic_ns()}.log"
    argv = [sys.executable, "-m", "whisper_dispatcher.worker.stub_server"]
    with process([*argv, "--port", str(port), "--delay-ms", f"{delay_ms:g}"], log) as server:
        wait_for_port(port, server, log)
        yield port
