"""Redis and RabbitMQ from the distribution's packages, and Celery workers, as processes of their own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from fleet_harness import until

from whisper_dispatcher.loopback import free_port

START_S = 90.0
STOP_S = 20.0
REQUIRED = "WHISPERFLEET_REQUIRE_BROKERS"
"""Set where a missing broker is an error, as in .ci/run."""


def program(name: str) -> str:
    """Its path; where it is missing the test is skipped, or fails."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found:
        return found
    missing = f"{name} is missing; install it with `apt-get install {name}`"
    if os.environ.get(REQUIRED):
        pytest.fail(missing)
    pytest.skip(missing)


def answers(port: int, greeting: bytes = b"") -> bool:
    """Whether something on the port says anything to a greeting, or takes a connection when there is none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            if not greeting:
                return True
            connection.sendall(greeting)
            return bool(connection.recv(1))
    except OSError:
        return False


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """Its address, without a database's number."""
    port = free_port()
    argv = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    with _process(argv, folder / "redis.log", os.environ):
        until(lambda: answers(port, b"PING\r\n"), START_S)
        yield f"redis://127.0.0.1:{port}"


@contextmanager
def rabbitmq(folder: Path) -> Iterator[str]:
    # The program on the PATH changes to another user first, which only root may.
    wrapper = Path(program("rabbitmq-server"))
    server = next(iter(sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server"))), wrapper)
    port, names_port = free_port(), free_port()
    plugins = folder / "plugins"
    plugins.write_text("[].\n")
    own = {
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"test{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        "ERL_EPMD_PORT": str(names_port),
    }
    environment = os.environ | own
    # Started here, it ends here; the broker's own would stay behind.
    with (
        _process(["epmd", "-port", str(names_port)], folder / "epmd.log", environment),
        _process([str(server)], folder / "rabbitmq.log", environment),
    ):
        until(lambda: answers(port, b"AMQP\x00\x00\x09\x01"), START_S)
        yield f"amqp://guest:guest@127.0.0.1:{port}//"


class Worker:
    """A Celery worker with its pool, in a process group of its own."""

    def __init__(self, folder: Path, app: str, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        options = ["--concurrency", "2", "--loglevel", "INFO", "--without-gossip", "--without-mingle"]
        self._argv = [sys.executable, "-m", "celery", "--app", app, "worker", *options]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self._folder / "worker.log").read_text(errors="replace")

    def start(self) -> None:
        with (self._folder / "worker.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def kill_pool(self) -> None:
        """The processes that run the tasks; the worker starts others."""
        assert self._process
        pid = self._process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)


@contextmanager
def _process(argv: list[str], log: Path, environment: Mapping[str, str]) -> Iterator[None]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            argv,
            cwd=log.parent,
            env=dict(environment),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
