"""`whisperfleet jobs`: the caller's own jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from whisper_dispatcher.cli.api import Key, Url, opened
from whisper_dispatcher.cli.sentences import consoles, failed, listing
from whisper_dispatcher.cli.transcribe import Format, readable

if TYPE_CHECKING:
    from whisperfleet.client import Job as JobView

app = typer.Typer(help="Jobs of this API key.", no_args_is_help=True)

Job = Annotated[str, typer.Argument(help="The job's id.")]


@app.command("list")
def show_all(
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    url: Url = None,
    key: Key = None,
) -> None:
    """List jobs, newest first."""
    with opened(url, key) as client:
        jobs = client.jobs(limit=limit).data
    table = listing("job", "state", "file", "created (UTC)", "windows")
    for job in jobs:
        table.add_row(job.id, job.state, job.filename, moment(job.created_at), windows_text(job))
    consoles()[0].print(table)


@app.command("show")
def show(job: Job, url: Url = None, key: Key = None) -> None:
    """Show one job."""
    with opened(url, key) as client:
        found = client.job(job)
    print_fields(job_fields(found))


@app.command("result")
def result(
    job: Job,
    format: Annotated[Format, typer.Option("--format")] = Format.text,  # noqa: A002  the API's word
    url: Url = None,
    key: Key = None,
) -> None:
    """Print the transcript of a completed job."""
    with opened(url, key) as client:
        text = client.result(job, format.value)
    typer.echo(readable(text, is_terminal=consoles()[0].is_terminal))


@app.command("cancel")
def cancel(job: Job, url: Url = None, key: Key = None) -> None:
    """Stop a job; a running window is broken off."""
    with opened(url, key) as client:
        before = client.job(job)
        if before.is_final:
            raise failed(f"Job {job} is {before.state} already; there is nothing to cancel.")
        state = client.cancel(job).state
    typer.echo(f"Job {job} is {state}.")


def job_fields(job: JobView) -> dict[str, str]:
    """What is known, in words; what is not is left out."""
    fields = {
        "job": job.id,
        "state": job.state,
        "file": job.filename,
        "model": job.model,
        "class": job.class_,
        "length": f"{job.duration_s:.1f} s" if job.duration_s is not None else "",
        "windows": windows_text(job),
        "before it": str(job.queue_position) if job.queue_position else "",
        "failed attempts": str(job.attempts) if job.attempts else "",
        "created (UTC)": moment(job.created_at),
        "finished (UTC)": moment(job.finished_at),
        "reason": job.reason,
        "message": job.message,
    }
    return {name: value for name, value in fields.items() if value}


def print_fields(fields: dict[str, str]) -> None:
    table = Table(box=None, show_header=False)
    for name, value in fields.items():
        table.add_row(name, value)
    consoles()[0].print(table)


def windows_text(job: JobView) -> str:
    return "" if job.windows.total is None else f"{job.windows.done} of {job.windows.total}"


def moment(at: float | None) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S") if at else ""
