"""`whisperfleet`: every command. What a command needs is imported when it runs, so that --help is instant."""

from __future__ import annotations

import typer

from whisper_dispatcher.cli.clients import app as clients
from whisper_dispatcher.cli.dead_letters import app as dead_letters
from whisper_dispatcher.cli.jobs import app as jobs
from whisper_dispatcher.cli.laptop import demo, doctor, install_tools, up
from whisper_dispatcher.cli.prepare import prepare
from whisper_dispatcher.cli.processes import gateway, planner, worker
from whisper_dispatcher.cli.transcribe import transcribe

app = typer.Typer(
    name="whisperfleet",
    help="Speech to text on your own machines.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables would show keys.
    pretty_exceptions_enable=False,
)

for command in (up, demo, doctor, install_tools, transcribe):
    app.command()(command)
for process in (gateway, planner, worker, prepare):
    app.command(rich_help_panel="Processes of the cluster")(process)
app.add_typer(jobs, name="jobs")
app.add_typer(dead_letters, name="dead-letters")
app.add_typer(clients, name="clients")
