"""`whisperfleet up`: the pipeline on this machine until it is told to stop."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from whisper_dispatcher.local import running
from whisper_dispatcher.local.commands import TOKEN_VARIABLE, Speech
from whisper_dispatcher.local.data_folder import load_queue, open_folder, write_private
from whisper_dispatcher.local.pipeline import Pipeline, StartFailed, choose_ports
from whisper_dispatcher.local.tools import ensure_whisper_server, nats_server_path
from whisper_models.catalogue import known_file
from whisper_models.cli import fetch_with_bar
from whisper_models.ensure import is_path

KILLED_EXIT_CODE = 130


@dataclass(frozen=True, slots=True)
class UpOptions:
    model: str
    """A catalogue name or the path of a ggml file."""
    servers: int = 1
    data: Path | None = None
    port: int = 0
    """0 = any free one."""
    ready_file: Path | None = None
    bot: bool = False
    """The Telegram bot too; its token is in TELEGRAM_BOT_TOKEN."""


class Stops:
    """The first Ctrl-C or SIGTERM asks for a drain, the second for an end at once."""

    def __init__(self) -> None:
        self.drain = asyncio.Event()
        self.kill = asyncio.Event()

    def _on_signal(self) -> None:
        (self.kill if self.drain.is_set() else self.drain).set()

    @contextmanager
    def installed(self) -> Iterator[Stops]:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, self._on_signal)
        try:
            yield self
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


def model_name(name_or_path: str) -> str:
    """The canonical name that a queue is named after: a path's file name without `ggml-` and `.bin`."""
    if not is_path(name_or_path):
        return name_or_path
    file_name = Path(name_or_path).name
    if known := known_file(file_name):
        return known.name
    stem = file_name.removesuffix(".bin").removeprefix("ggml-")
    return re.sub(r"[^A-Za-z0-9._-]", "-", stem)[:100]


def prepare_speech(model: str, servers: int, console: Console) -> Speech:
    """Has the model and whisper-server in place; blocks while it downloads or builds."""
    path = asyncio.run(fetch_with_bar(model, console=console))
    return Speech(model_name(model), path.absolute(), ensure_whisper_server(console), servers)


def up(options: UpOptions, console: Console) -> int:
    if options.bot and not os.environ.get(TOKEN_VARIABLE):
        raise StartFailed(f"{TOKEN_VARIABLE} is not set. @BotFather gives you a token; set it and start again.")
    if options.ready_file:
        options.ready_file.unlink(missing_ok=True)  # of a start that was killed
    speech = prepare_speech(options.model, options.servers, console)
    with open_folder(options.data) as folder:
        pipeline = Pipeline(
            folder,
            load_queue(folder),
            choose_ports(options.port),
            speech,
            nats_server_path(),
            teller(console),
            with_bot=options.bot,
        )
        return asyncio.run(_serve(pipeline, options, console))


def teller(console: Console) -> Callable[[str], None]:
    return lambda line: console.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)


async def _serve(pipeline: Pipeline, options: UpOptions, console: Console) -> int:
    stops = Stops()
    with stops.installed():
        async with run_pipeline(pipeline, stops):
            if stops.drain.is_set():
                return KILLED_EXIT_CODE
            with _announced(pipeline, options, console):
                await stops.drain.wait()
                console.print("Finishing what runs; Ctrl-C again ends at once.")
        return KILLED_EXIT_CODE if stops.kill.is_set() else 0


@asynccontextmanager
async def run_pipeline(pipeline: Pipeline, stops: Stops) -> AsyncIterator[None]:
    """Ready inside, gone outside. A signal while it starts ends the start; the body sees it in `stops`."""
    try:
        await _first(pipeline.start(), stops.drain)
        yield
    finally:
        await _first(pipeline.stop(), stops.kill)
        await pipeline.kill()


async def _first(work: Coroutine[Any, Any, None], event: asyncio.Event) -> None:
    """Waits for the work, and drops it when the event comes first; does not begin it when it came before."""
    if event.is_set():
        work.close()
        return
    working = asyncio.create_task(work)
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (working, waiting):
            task.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)


@contextmanager
def _announced(pipeline: Pipeline, options: UpOptions, console: Console) -> Iterator[None]:
    running.note(
        running.Running(
            url=pipeline.url,
            key=pipeline.queue.api_key,
            nats_url=pipeline.nats_url,
            nats_password=pipeline.queue.passwords["admin"],
            system_password=pipeline.queue.passwords["system"],
            data=str(pipeline.folder.path),
            worker_probe_url=pipeline.worker_probe_url,
            planner_probe_url=pipeline.planner_probe_url,
            pid=os.getpid(),
        )
    )
    try:
        if options.ready_file:
            write_private(options.ready_file, json.dumps({"url": pipeline.url, "key": pipeline.queue.api_key}) + "\n")
        for line in announcement(pipeline.url, pipeline.queue.api_key, pipeline.speech.model):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        yield
    finally:
        running.forget(os.getpid())
        if options.ready_file:
            options.ready_file.unlink(missing_ok=True)


def announcement(url: str, key: str, model: str) -> list[str]:
    return [
        f"Speech to text with {model} at {url}",
        f"API docs: {url}/docs",
        f"Key: {key}",
        "Try it:",
        f"  curl -H 'X-API-Key: {key}' -F file=@recording.ogg {url}/transcribe",
        "Ctrl-C stops it.",
    ]
