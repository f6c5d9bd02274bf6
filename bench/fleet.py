"""The whole pipeline as `whisperfleet up` runs it, in front of stand-ins for whisper-server that take a fixed time."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bench import servers
from whisper_contracts import names
from whisper_dispatcher.jetstream.streams import Stored
from whisper_dispatcher.local.commands import Speech
from whisper_dispatcher.local.data_folder import DataFolder, load_queue, open_folder
from whisper_dispatcher.local.pipeline import Pipeline, choose_ports
from whisper_dispatcher.local.tools import nats_server_path
from whisper_dispatcher.loopback import HOST
from whisper_dispatcher.worker import stub_server
from whisper_dispatcher.worker.inference_form import multipart
from whisper_models.bundled import demo_model_path

MODEL = "bench.en"


@dataclass(frozen=True, slots=True)
class Fleet:
    pipeline: Pipeline

    @property
    def port(self) -> int:
        return self.pipeline.ports.http

    @property
    def headers(self) -> dict[str, str]:
        return {"X-API-Key": self.pipeline.queue.api_key}

    def pid(self, name: str) -> int:
        return next(child.pid or 0 for child in self.pipeline.children if child.command.name == name)

    def get(self, path: str) -> tuple[int, bytes]:
        return exchange(self.port, "GET", path, headers=self.headers)

    def post(self, path: str, fields: Mapping[str, str], file: bytes) -> tuple[int, bytes]:
        return post(self.port, path, fields, file, self.headers)

    def submit(self, file: bytes, **fields: str) -> str:
        """The job's id."""
        status, body = self.post("/v1/jobs", fields, file)
        if status != 202:
            raise RuntimeError(f"the gateway answered {status}: {body[:300]!r}")
        return str(json.loads(body)["job"]["id"])

    async def journal(self, job: str) -> dict[str, Stored]:
        """By kind: `plan`, `window.demo=en.3`, `state`."""
        jetstream = await self.pipeline.admin()
        try:
            found = await jetstream.get_all_last(names.JOURNAL_STREAM, [f"whisper.jobs.*.{job}.>"])
            return {stored.subject.split(".", 4)[4]: stored for stored in found}
        finally:
            await jetstream.close()


@asynccontextmanager
async def running(*, slots: int, delay_ms: float) -> AsyncIterator[Fleet]:
    with open_folder(None) as folder, servers.folder() as data:
        speech = Speech(MODEL, demo_model_path(), stub_server.write_program(data, "--delay-ms", f"{delay_ms:g}"), slots)
        pipeline = Pipeline(folder, load_queue(folder), choose_ports(0), speech, nats_server_path(), _tell)
        try:
            await pipeline.start()
            yield Fleet(pipeline)
        except BaseException:
            _show_logs(folder)
            raise
        finally:
            await pipeline.stop()
            await pipeline.kill()


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _show_logs(folder: DataFolder) -> None:
    for log in sorted(folder.logs.glob("*.log")):
        last = log.read_text(errors="replace").splitlines()[-5:]
        sys.stderr.write("".join(f"{log.stem}: {line}\n" for line in last))


def post(
    port: int, path: str, fields: Mapping[str, str], file: bytes, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    body, content_type = multipart(dict(fields), file)
    return exchange(port, "POST", path, body=body, headers={**(headers or {}), "Content-Type": content_type})


def exchange(
    port: int, method: str, path: str, *, body: Any = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """Over a connection of its own, as whisper-server wants it; the same way to whichever side is measured."""
    connection = http.client.HTTPConnection(HOST, port, timeout=600)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
