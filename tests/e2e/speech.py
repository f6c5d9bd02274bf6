"""The platform's HTTP API, from outside the cluster."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from tests.e2e.cluster.cluster import Cluster, program

from whisper_models.bundled import sample_path

HELLO = "hello world one two three"
"""What is said in hello.wav."""


@dataclass(frozen=True, slots=True)
class Gateway:
    url: str
    key: str

    def transcribe(self, file: str = "hello.wav", *, model: str | None = None, limit_s: float = 60.0) -> str:
        answer = self.post("/transcribe", file, model=model, limit_s=limit_s)
        assert answer.status_code == httpx.codes.OK, answer.text
        return str(answer.json()["transcription"])

    def post(
        self, path: str, file: str = "hello.wav", *, model: str | None = None, limit_s: float = 60.0
    ) -> httpx.Response:
        audio = sample_path(file).read_bytes()
        return httpx.post(
            self.url + path,
            headers={"X-API-Key": self.key},
            files={"file": (file, audio)},
            data={"model": model} if model else {},
            timeout=limit_s,
        )


@contextmanager
def forwarded(cluster: Cluster, namespace: str, target: str, port: int) -> Iterator[int]:
    """A port on this machine that leads to the Service or pod."""
    command = [program("kubectl"), "--kubeconfig", cluster.kubeconfig, "--namespace", namespace]
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
