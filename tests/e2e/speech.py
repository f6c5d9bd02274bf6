"""The platform's HTTP API, from outside the cluster."""

from __future__ import annotations

import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from tests.e2e.cluster.cluster import Cluster, program
from tests.e2e.cluster.commands import Argument

from whisper_models.bundled import sample_path

HELLO = "hello world one two three"
"""What is said in hello.wav."""
NOTE = "good morning this is a test please open the blue door"
"""What is said in voice-note.ogg."""
CATCH_UP_S = 30.0


@dataclass(frozen=True, slots=True)
class Gateway:
    url: str
    key: str

    def transcribe(self, *, model: str | None = None, number: int = 0, limit_s: float = 60.0) -> str:
        """What is heard in hello.wav. number: makes it another recording, since equal ones are one job."""
        # A chunk behind the sound that every reader passes over.
        audio = sample_path("hello.wav").read_bytes() + b"note" + struct.pack("<II", 4, number)
        answer = self._ask(
            "POST",
            "/transcribe",
            files={"file": ("hello.wav", audio)},
            data={"model": model} if model else {},
            timeout=limit_s,
        )
        assert answer.status_code == httpx.codes.OK, answer.text
        return str(answer.json()["transcription"])

    def status(self) -> int:
        """What the gateway answers to this key."""
        return self._ask("GET", "/v1/models", timeout=10).status_code

    def knows(self, model: str) -> bool:
        answer = self._ask("GET", "/v1/models", timeout=10)
        return answer.is_success and model in [each["id"] for each in answer.json()["data"]]

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Again while the gateway says that it still reads its queue, as after a restart of NATS."""
        deadline = time.monotonic() + CATCH_UP_S
        while True:
            answer = httpx.request(method, self.url + path, headers={"X-API-Key": self.key}, **request)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() >= deadline:
                return answer
            time.sleep(float(answer.headers["Retry-After"]))


@contextmanager
def forwarded(cluster: Cluster, namespace: str, target: str, port: int) -> Iterator[int]:
    """A port on this machine that leads to the Service or pod."""
    command: list[Argument] = [program("kubectl"), "--kubeconfig", cluster.kubeconfig, "--namespace", namespace]
    with subprocess.Popen(
        [*command, "port-forward", target, f":{port}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as forwarding:
        try:
            assert forwarding.stdout
            line = forwarding.stdout.readline()
            assert line.startswith("Forwarding from"), line
            yield int(line.split(" -> ")[0].rsplit(":", 1)[1])
        finally:
            forwarding.terminate()
