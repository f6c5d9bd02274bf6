"""`whisperfleet dead-letters`: jobs that failed for good, kept with their audio."""

from __future__ import annotations

import typer

from whisper_dispatcher.cli.api import Key, Url, opened
from whisper_dispatcher.cli.jobs import Job, moment, print_fields
from whisper_dispatcher.cli.sentences import consoles, failed, listing

MAX_LETTERS = 1000

app = typer.Typer(help="Jobs that failed for good; an operator's key sees those of all clients.", no_args_is_help=True)


@app.command("list")
def show_all(url: Url = None, key: Key = None) -> None:
    """List the dead letters."""
    with opened(url, key) as client:
        letters = client.dead_letters(limit=MAX_LETTERS)
    table = listing("job", "client", "file", "reason", "attempts", "failed (UTC)")
    for letter in letters:
        table.add_row(
            letter.job, letter.client, letter.filename, letter.reason, str(letter.attempts), moment(letter.at)
        )
    consoles()[0].print(table)


@app.command("show")
def show(job: Job, url: Url = None, key: Key = None) -> None:
    """Show why one job failed."""
    with opened(url, key) as client:
        letters = client.dead_letters(limit=MAX_LETTERS)
    letter = next((letter for letter in letters if letter.job == job), None)
    if letter is None:
        raise failed(f"There is no dead letter of job {job}. `whisperfleet jobs show {job}` tells its state.")
    fields = {name: str(value) for name, value in letter if value is not None and name != "at"}
    print_fields(fields | {"failed (UTC)": moment(letter.at)})


@app.command("requeue")
def requeue(job: Job, url: Url = None, key: Key = None) -> None:
    """Try a job again; the windows that succeeded are kept."""
    with opened(url, key) as client:
        client.requeue(job)
    typer.echo(f"Job {job} is queued again.")
