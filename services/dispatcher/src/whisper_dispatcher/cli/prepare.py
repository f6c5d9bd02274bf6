"""`whisperfleet prepare`: a queue's streams, model and first keys. Talks to NATS as its administrator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from whisper_dispatcher.cli.admin import as_admin
from whisper_dispatcher.cli.sentences import failed

if TYPE_CHECKING:
    from whisper_dispatcher.jetstream.streams import JetStream

GIB = 1024**3

Keys = Annotated[
    list[Path] | None,
    typer.Option("--client", help="File with an API key of your own making; the client is named after the file."),
]


def prepare(
    model: Annotated[str, typer.Option(help="The one model of this installation, such as base.en.")],
    store_gib: Annotated[float, typer.Option(min=0.25, help="What the streams may take of the queue's disk.")] = 20.0,
    client: Keys = None,
    operator: Annotated[str, typer.Option(help="Which of the clients is an operator.")] = "",
) -> None:
    """Make streams, model and clients; run it before the other processes, at every start and upgrade."""
    keys = {path.name: _read_key(path) for path in client or []}
    as_admin("prepare", lambda jetstream: _prepare(jetstream, model, int(store_gib * GIB), keys, operator))
    typer.echo(f"The queue serves {model} to {len(keys)} clients named here.")


async def _prepare(jetstream: JetStream, model: str, store_bytes: int, keys: dict[str, str], operator: str) -> None:
    from whisper_dispatcher.jetstream.topology import Limits
    from whisper_dispatcher.jobs.clients import Quotas, register_key
    from whisper_dispatcher.local import queue_setup

    await queue_setup.prepare(jetstream, Limits().within(store_bytes), model)
    for name, key in keys.items():
        await register_key(jetstream, key, name, Quotas(operator=name == operator))


def _read_key(path: Path) -> str:
    try:
        key = path.read_text().strip()
    except OSError as error:
        raise failed(f"{path} cannot be read: {error.strerror}.") from None
    if not key:
        raise failed(f"{path} is empty; it must hold an API key.")
    return key
