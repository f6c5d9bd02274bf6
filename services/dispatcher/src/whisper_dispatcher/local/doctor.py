"""`whisperfleet doctor`: looks at every part and says what is wrong and what to do."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from whisper_contracts import names
from whisper_contracts.messages import ModelRecord
from whisper_dispatcher.jetstream import buckets, topology
from whisper_dispatcher.jetstream.errors import QueueUnavailable
from whisper_dispatcher.jetstream.streams import JetStream
from whisper_dispatcher.local import admin, running
from whisper_dispatcher.local.build_whisper import cached_binary
from whisper_dispatcher.local.cluster_examination import cluster_findings
from whisper_dispatcher.local.errors import ToolMissing
from whisper_dispatcher.local.findings import (
    MAKE_ANEW,
    Finding,
    judge_backlog,
    judge_dead_letters,
    judge_disk,
    judge_stream,
    judge_workers,
    well,
    wrong,
)
from whisper_dispatcher.local.nats_server import syncs_every_write
from whisper_dispatcher.local.running import Running
from whisper_dispatcher.local.tools import WHISPER_SERVER_VARIABLE, ensure_whisper_server, nats_server_path
from whisper_dispatcher.settings import PREFIX

HTTP_TIMEOUT_S = 5.0
LOOKS = 5
LOOK_EVERY_S = 0.2
"""A worker between two pulls waits on no consumer, so one look may miss it."""
MARKS = {"well": ("ok", "green"), "warning": ("look", "yellow"), "wrong": ("wrong", "red")}


def doctor(console: Console) -> int:
    """0 when nothing is wrong."""
    findings = asyncio.run(_examine(console))
    return _verdict(findings)


def cluster_doctor(console: Console, context: str) -> int:
    """context: kubectl's. 0 when nothing is wrong there."""
    findings = []
    for finding in cluster_findings(context):
        findings.append(finding)
        _show(console, finding)
    return _verdict(findings)


def _verdict(findings: list[Finding]) -> int:
    return 1 if any(finding.verdict == "wrong" for finding in findings) else 0


async def _examine(console: Console) -> list[Finding]:
    findings = []
    async for finding in _findings():
        findings.append(finding)
        _show(console, finding)
    return findings


def _show(console: Console, finding: Finding) -> None:
    mark, style = MARKS[finding.verdict]
    console.print(f"{mark:<6}", style=style, end="")
    console.print(finding.text, highlight=False, markup=False, soft_wrap=True)


async def _findings() -> AsyncIterator[Finding]:
    yield _nats_server()
    yield await asyncio.to_thread(_whisper_server)
    here = running.find()
    folder = Path(here.data) if here else Path.cwd()
    yield judge_disk(str(folder), shutil.disk_usage(folder).free)
    if here is None and PREFIX + "NATS_URL" not in os.environ:
        yield wrong(
            "No pipeline runs here. Start one with `whisperfleet up`, or set WHISPERFLEET_NATS_URL and WHISPERFLEET_URL."
        )
        return
    yield await _gateway(here)
    async for finding in _queue(here):
        yield finding


def _nats_server() -> Finding:
    try:
        return well(f"nats-server is at {nats_server_path()}.")
    except ToolMissing as error:
        return wrong(str(error))


def _whisper_server() -> Finding:
    if WHISPER_SERVER_VARIABLE not in os.environ and not cached_binary().is_file():
        return wrong("whisper-server is not built yet. `whisperfleet install-tools` builds it.")
    try:
        return well(f"whisper-server at {ensure_whisper_server(Console(quiet=True))} transcribes its sample.")
    except ToolMissing as error:
        return wrong(str(error))


async def _gateway(here: Running | None) -> Finding:
    url = os.environ.get(PREFIX + "URL") or (here.url if here else "")
    if not url:
        return wrong("The gateway's address is not known. Set WHISPERFLEET_URL.")
    try:
        async with httpx.AsyncClient(timeout=HTTP_TIMEOUT_S) as http:
            response = await http.get(f"{url}/readyz")
    except httpx.HTTPError as error:
        return wrong(f"The gateway at {url} does not answer ({type(error).__name__}). Look into its log.")
    if response.status_code != httpx.codes.OK:
        return wrong(f"The gateway at {url} is not ready: {response.text[:200]}")
    return well(f"The gateway at {url} is ready.")


async def _queue(here: Running | None) -> AsyncIterator[Finding]:
    settings = admin.settings()
    try:
        jetstream = await admin.connect(settings, "doctor")
    except QueueUnavailable as error:
        yield wrong(str(error))
        return
    yield well(f"NATS at {settings.nats_url} answers.")
    try:
        if here and here.nats_url == settings.nats_url:
            yield await _durability(here)
        async for finding in _streams(jetstream):
            yield finding
        async for finding in _models(jetstream):
            yield finding
        yield judge_dead_letters(len(await jetstream.subjects(names.JOURNAL_STREAM, names.DEAD_SUBJECTS)))
    except QueueUnavailable as error:
        yield wrong(f"NATS stopped answering: {error}. Look into nats-server.log.")
    finally:
        await jetstream.close()


async def _durability(here: Running) -> Finding:
    if await syncs_every_write(here.nats_url, here.system_password):
        return well("What NATS acknowledges is on disk (sync_interval: always).")
    return wrong("NATS acknowledges before it writes: set sync_interval to always, or accepted jobs can be lost.")


async def _streams(jetstream: JetStream) -> AsyncIterator[Finding]:
    for config in topology.streams(topology.Limits()):
        yield judge_stream(config["name"], await jetstream.api(f"STREAM.INFO.{config['name']}"))
    for stream, config in topology.consumers():
        info = await jetstream.api(f"CONSUMER.INFO.{stream}.{config['durable_name']}")
        if "error" in info:
            yield wrong(f"Consumer {config['durable_name']} of {stream} is missing. {MAKE_ANEW}")
        elif stream == names.PLAN_STREAM:
            yield judge_backlog("Jobs to plan", config["durable_name"], info)


async def _models(jetstream: JetStream) -> AsyncIterator[Finding]:
    records = [ModelRecord.decode(data) for data in (await buckets.entries(jetstream, names.MODELS_BUCKET)).values()]
    if not records:
        yield wrong(
            "There is no model, so every request is refused. "
            "Start `whisperfleet up`, run `whisperfleet prepare`, or apply a WhisperServer."
        )
    for record in records:
        looks = [await _look(jetstream, record.name) for _ in range(LOOKS)]
        yield judge_workers(record.name, looks)
        for class_, info in zip(names.CLASSES, looks[-1], strict=True):
            if "error" not in info:
                yield judge_backlog("Windows to transcribe", names.windows_consumer(record.name, class_), info)


async def _look(jetstream: JetStream, model: str) -> list[dict[str, Any]]:
    await asyncio.sleep(LOOK_EVERY_S)
    consumers = (names.windows_consumer(model, class_) for class_ in names.CLASSES)
    return [await jetstream.api(f"CONSUMER.INFO.{names.WINDOWS_STREAM}.{consumer}") for consumer in consumers]
