"""`whisperfleet transcribe`: files to text through a running gateway, with a progress bar."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from whisper_dispatcher.cli.api import Key, Url, opened
from whisper_dispatcher.cli.sentences import FAILED, consoles, say

if TYPE_CHECKING:
    from whisperfleet.client import Client, Job, Options

POLL_S = 0.3
SLOWEST_POLL_S = 2.0


class Format(StrEnum):
    text = "text"
    srt = "srt"
    vtt = "vtt"
    json = "json"
    verbose_json = "verbose_json"


@dataclass(slots=True)
class Upload:
    path: Path
    bar: TaskID = field(init=False)
    job: str = ""
    result: str = ""
    problem: str = ""

    @property
    def name(self) -> str:
        """For people: bytes in it that are no UTF-8 cannot be printed."""
        return typer.format_filename(self.path)

    @property
    def is_over(self) -> bool:
        return bool(self.problem or self.result)


def transcribe(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True, help="Audio or video.")],
    format: Annotated[Format, typer.Option("--format", help="Of what is printed.")] = Format.text,  # noqa: A002
    language: Annotated[str | None, typer.Option(help="ISO-639-1, such as en; found out when left out.")] = None,
    model: Annotated[str | None, typer.Option(help="The gateway's default when left out.")] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Transcribe files and print what was said."""
    out, err = consoles()
    # On a terminal lines go above the bars.
    tell = err.print if err.is_terminal else say
    options: Options = {"words": format is Format.verbose_json}
    if language:
        options["language"] = language
    if model:
        options["model"] = model
    uploads = [Upload(path) for path in files]
    try:
        with opened(url, key, tell, lambda: any(upload.job for upload in uploads)) as client:
            _run(client, uploads, options, format, err)
    finally:
        # Whatever ends the wait: a text that was fetched is told, and where the others are.
        _print(uploads, out)
        missing = [f"{upload.name}: {sentence}" for upload in uploads if (sentence := _why_missing(upload))]
        for sentence in missing:
            say(sentence)
    if missing:
        raise typer.Exit(FAILED)


def _run(client: Client, uploads: list[Upload], options: Options, format_: Format, err: Console) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        for upload in uploads:
            upload.bar = progress.add_task(Path(upload.name).name, total=None, note="waits")
        for upload in uploads:
            _submit(client, upload, options, progress)
        pause_s = POLL_S
        while waiting := [upload for upload in uploads if not upload.is_over]:
            for upload in waiting:
                _look(client, upload, format_, progress)
            time.sleep(pause_s)
            pause_s = min(SLOWEST_POLL_S, pause_s * 1.1)


def _submit(client: Client, upload: Upload, options: Options, progress: Progress) -> None:
    from whisperfleet.client import WhisperfleetError

    try:
        progress.update(upload.bar, total=upload.path.stat().st_size, note="is sent")
        upload.job = client.submit(upload.path, on_sent=lambda size: progress.advance(upload.bar, size), **options).id
    except (WhisperfleetError, OSError) as error:
        upload.problem = str(error)
    progress.reset(upload.bar, total=None, note="is planned")


def _look(client: Client, upload: Upload, format_: Format, progress: Progress) -> None:
    from whisperfleet.client import ApiError

    try:
        job = client.job(upload.job)
        progress.update(upload.bar, completed=job.windows.done, total=job.windows.total, note=progress_note(job))
        if job.state == "completed":
            upload.result = client.result(upload.job, format_.value) or "\n"
        elif job.is_final:
            upload.problem = job.message or f"The job was {job.state}."
    except ApiError as error:
        # Another gateway may not have heard of the end yet.
        if error.code != "job_not_done":
            upload.problem = f"{error} `whisperfleet jobs show {upload.job}` tells its state."


def _why_missing(upload: Upload) -> str:
    if upload.is_over or not upload.job:
        return upload.problem
    return f"Job {upload.job} goes on. `whisperfleet jobs result {upload.job}` prints its text once it is done."


def progress_note(job: Job) -> str:
    if job.windows.total is None:
        return f"{job.queue_position} jobs are before it" if job.queue_position else "is planned"
    return f"{job.windows.done} of {job.windows.total} windows"


def _print(uploads: list[Upload], out: Console) -> None:
    done = [upload for upload in uploads if upload.result]
    for upload in done:
        if len(uploads) > 1:
            typer.echo(f"{upload.name}:")
        typer.echo(readable(upload.result, is_terminal=out.is_terminal))


def readable(result: str, *, is_terminal: bool) -> str:
    """JSON indented for people; for programs as it came."""
    result = result.rstrip("\n")
    if not is_terminal or not result.startswith("{"):
        return result
    try:
        return json.dumps(json.loads(result), indent=2, ensure_ascii=False)
    except ValueError:
        return result
