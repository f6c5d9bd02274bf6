"""The operator as an ordinary process, with a NATS of its own."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import servers
from bench.operator.api import NAMESPACE
from bench.operator.control_plane import ControlPlane
from whisper_dispatcher.local.tools import nats_server_path
from whisper_dispatcher.loopback import HOST, free_port
from whisper_operator.nats_keys import new_keys

_STOP_S = 30.0
_SETTLE_EVERY_S = 0.05


class OperatorProcess:
    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment = environment
        self._log = log
        self._stack = ExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._starts = 0
        self._peak_mib = 0.0
        self.started_s = 0.0

    def start(self) -> None:
        self._port = free_port()
        self._starts += 1
        # Another pod of the same Deployment: it gets the Lease that the one before has given back.
        own = {"PROBE_PORT": str(self._port), "POD_NAME": f"operator-{self._starts}"}
        environment = self._environment | {f"WHISPERFLEET_{name}": value for name, value in own.items()}
        command = [sys.executable, "-m", "whisper_operator.main"]
        self.started_s = time.monotonic()
        self._process = self._stack.enter_context(servers.process(command, self._log, environment))

    def stop(self) -> None:
        """As a kubelet does it."""
        self.note_memory()
        if self._process:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(_STOP_S)
        self._stack.close()

    def note_memory(self) -> float:
        """The most it ever had resident, earlier runs of it too, in MiB."""
        if self._process and self._process.poll() is None:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
            peak_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
            self._peak_mib = max(self._peak_mib, peak_kib / 1024)
        return self._peak_mib

    @property
    def cpu_s(self) -> float:
        """Of the present run."""
        assert self._process
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metric(self, name: str) -> float:
        """0 while it does not answer yet."""
        text = self._ask("metrics") or ""
        return next((float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} ")), 0.0)

    def wait_settled(self, servers: int, limit_s: float) -> float:
        """Until it has looked at all and found or made each as wanted; returns the seconds since its start."""
        deadline = time.monotonic() + limit_s
        while (settled := self.metric("whisper_operator_servers_settled")) < servers:
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f"Of {servers} WhisperServers {settled:g} were looked at in {limit_s:g} s: {self.last_log()}"
                )
            time.sleep(_SETTLE_EVERY_S)
        return time.monotonic() - self.started_s

    def wait_ready(self, limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while self._ask("readyz") is None:
            if time.monotonic() > deadline:
                raise RuntimeError(f"The operator is not ready after {limit_s:g} s: {self.last_log()}")
            time.sleep(_SETTLE_EVERY_S)

    def _ask(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self._port}/{path}", timeout=10) as answer:
                text: str = answer.read().decode()
                return text
        except (urllib.error.URLError, OSError):
            return None

    def last_log(self) -> str:
        return self._log.read_text(errors="replace")[-1500:]


@contextmanager
def running(plane: ControlPlane) -> Iterator[OperatorProcess]:
    with servers.folder() as data, ExitStack() as stack:
        keys = data / "nats"
        keys.mkdir(mode=0o700)
        for name, text in new_keys(secrets.token_bytes, int(time.time())).items():
            (keys / name).write_text(text)
        url = stack.enter_context(_nats(data, keys))
        environment = {
            "KUBECONFIG": str(plane.kubeconfig),
            "WHISPERFLEET_NATS_URL": url,
            "WHISPERFLEET_NATS_CREDENTIALS": str(keys / "operator.creds"),
            "WHISPERFLEET_NATS_INBOX_PREFIX": "_INBOX_operator",
            "WHISPERFLEET_NATS_SIGNING_KEY": str(keys / "account-signing.seed"),
            "WHISPERFLEET_NATS_ACCOUNT": str(keys / "account.pub"),
            "WHISPERFLEET_LEASE_NAMESPACE": NAMESPACE,
            "WHISPERFLEET_LEASE_NAME": "operator",
            "WHISPERFLEET_LOG_JSON": "true",
        }
        found = OperatorProcess(environment, data / "operator.log")
        found.start()
        try:
            yield found
        finally:
            found.stop()


@contextmanager
def _nats(data: Path, keys: Path) -> Iterator[str]:
    """As the chart runs it: durable, and with signed users."""
    port = free_port()
    config, log = data / "nats.conf", data / "nats.log"
    store = f'jetstream {{ store_dir: "{data / "store"}", sync_interval: always }}'
    config.write_text(f'listen: "{HOST}:{port}"\n{store}\ninclude "nats/auth.conf"\n')
    with servers.process([str(nats_server_path()), "--config", str(config)], log) as server:
        servers.wait_for_port(port, server, log)
        yield f"nats://{HOST}:{port}"
