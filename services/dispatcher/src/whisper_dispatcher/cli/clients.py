"""`whisperfleet clients`: who may call the API. Talks to NATS as its administrator."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from whisper_dispatcher.cli.admin import as_admin
from whisper_dispatcher.cli.sentences import consoles, listing

if TYPE_CHECKING:
    from whisper_contracts.messages import ClientRecord

COMMAND = "clients"

app = typer.Typer(help="API clients: one key each, with quotas.", no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Who it is, for people.")],
    requests_per_minute: Annotated[int | None, typer.Option(min=1)] = None,
    jobs_in_flight: Annotated[int | None, typer.Option(min=1)] = None,
    audio_seconds_per_day: Annotated[float | None, typer.Option(min=1)] = None,
    models: Annotated[str | None, typer.Option(help="Names of the models it may use, with commas between.")] = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="May see the fleet, and see and requeue the failed jobs of all.")
    ] = False,
) -> None:
    """Make a client and print its key and the secret of its webhooks, which are shown only this once.

    The key alone goes to standard output, for scripts.
    """
    from whisper_dispatcher.jobs.clients import Quotas, new_key, register_key

    allowed = tuple(model.strip() for model in models.split(",") if model.strip()) if models else None
    quotas = Quotas(requests_per_minute, jobs_in_flight, audio_seconds_per_day, allowed, operator)
    key = new_key()
    record = as_admin(COMMAND, lambda jetstream: register_key(jetstream, key, name, quotas))
    typer.echo(key)
    typer.echo(f"Webhooks are signed with {record.webhook_secret}", err=True)


@app.command("list")
def show_all() -> None:
    """List the clients and their quotas."""
    from whisper_dispatcher.jobs.clients import list_clients

    table = listing("id", "name", "created (UTC)", "quotas")
    for record in as_admin(COMMAND, list_clients).values():
        created = datetime.fromtimestamp(record.created_at, UTC).strftime("%Y-%m-%d %H:%M")
        table.add_row(record.client, record.name, created, quota_text(record))
    consoles()[0].print(table)


@app.command("revoke")
def revoke(client: Annotated[str, typer.Argument(help="Its id, or its name if only one has it.")]) -> None:
    """Take a client's key away; it stops working at once. Its jobs stay."""
    from whisper_dispatcher.jobs.clients import revoke_client

    record = as_admin(COMMAND, lambda jetstream: revoke_client(jetstream, client))
    typer.echo(f"The key of {record.name} ({record.client}) no longer works.")


def quota_text(record: ClientRecord) -> str:
    parts = [
        f"{record.requests_per_minute} requests a minute" if record.requests_per_minute else "",
        f"{record.jobs_in_flight} jobs in flight" if record.jobs_in_flight else "",
        f"{record.audio_seconds_per_day:g} s of audio a day" if record.audio_seconds_per_day else "",
        "only " + ", ".join(record.models) if record.models else "",
        "operator" if record.operator else "",
    ]
    return "; ".join(part for part in parts if part) or "none"
