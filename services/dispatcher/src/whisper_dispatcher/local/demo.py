"""`whisperfleet demo`: the sample recordings through the whole pipeline, as a table."""

from __future__ import annotations

import asyncio
import csv
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Column, Table

from whisper_dispatcher.local.data_folder import load_queue, open_folder
from whisper_dispatcher.local.pipeline import Pipeline, choose_ports
from whisper_dispatcher.local.tools import nats_server_path
from whisper_dispatcher.local.up import KILLED_EXIT_CODE, Stops, prepare_speech, run_pipeline, teller
from whisper_models.bundled import sample_path
from whisper_models.catalogue import DEMO_MODEL

SAMPLES = ("voice-note.ogg", "message.mp3", "stereo.wav", "minutes.mp3")
SERVERS = 2
LEAST_TEXT_COLUMNS = 20
OTHER_COLUMNS = 48
"""What file, length, time and the lines between them take."""
REQUEST_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Sample:
    path: Path
    duration_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    sample: Sample
    text: str
    took_s: float
    problem: str = ""


def demo(console: Console) -> int:
    samples = load_samples()
    speech = prepare_speech(DEMO_MODEL, SERVERS, console)
    with open_folder(None) as folder:
        pipeline = Pipeline(folder, load_queue(folder), choose_ports(0), speech, nats_server_path(), teller(console))
        outcomes = asyncio.run(_transcribe_all(pipeline, samples, console))
    if outcomes is None:
        return KILLED_EXIT_CODE
    console.print(outcome_table(outcomes, console.width))
    problems = [f"{outcome.sample.path.name}: {outcome.problem}" for outcome in outcomes if outcome.problem]
    for problem in problems:
        console.print(problem, style="red", highlight=False, markup=False, soft_wrap=True)
    return 1 if problems else 0


def load_samples() -> list[Sample]:
    """Raises NotBundled outside a checkout."""
    with sample_path("samples.tsv").open(newline="") as file:
        seconds = {row["file"]: float(row["seconds"]) for row in csv.DictReader(file, delimiter="\t")}
    return [Sample(sample_path(name), seconds[name]) for name in SAMPLES]


async def _transcribe_all(pipeline: Pipeline, samples: list[Sample], console: Console) -> list[Outcome] | None:
    stops = Stops()
    with stops.installed(), console.status("Starting nats-server, gateway, planner and worker") as status:
        async with run_pipeline(pipeline, stops):
            if stops.drain.is_set():
                return None
            key = {"X-API-Key": pipeline.queue.api_key}
            async with httpx.AsyncClient(base_url=pipeline.url, headers=key, timeout=REQUEST_TIMEOUT_S) as http:
                status.update(f"Transcribing {len(samples)} recordings at once")
                outcomes = await asyncio.gather(*(_transcribe(http, sample) for sample in samples))
            status.update("Stopping")
            return outcomes


async def _transcribe(http: httpx.AsyncClient, sample: Sample) -> Outcome:
    started = time.monotonic()
    try:
        response = await http.post("/transcribe", files={"file": (sample.path.name, sample.path.read_bytes())})
        text, problem = read_answer(response)
    except httpx.HTTPError as error:
        text, problem = "", f"The gateway did not answer: {error or type(error).__name__}"
    return Outcome(sample, text, time.monotonic() - started, problem)


def read_answer(response: httpx.Response) -> tuple[str, str]:
    """Text, and what is wrong with it."""
    if response.status_code != httpx.codes.OK:
        return "", f"The gateway answered {response.status_code}: {response.text[:200]}"
    text = str(response.json()["transcription"]).strip()
    return text, "" if text else "The transcription is empty."


def outcome_table(outcomes: list[Outcome], width: int) -> Table:
    """width: of the terminal, in columns; texts are shortened so that each row is one line."""
    table = Table("file", "length", "text", Column("time taken", justify="right"))
    text_columns = max(LEAST_TEXT_COLUMNS, width - OTHER_COLUMNS)
    for outcome in outcomes:
        table.add_row(
            outcome.sample.path.name,
            clock(outcome.sample.duration_s),
            shortened(outcome.text, text_columns),
            f"{outcome.took_s:.2f} s",
            style="red" if outcome.problem else None,
        )
    return table


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def shortened(text: str, columns: int) -> str:
    return text if len(text) <= columns else text[: columns - 1].rstrip() + "…"
