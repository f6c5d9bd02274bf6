"""`whisper-models`: list the catalogue, fetch a model, verify a file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path, PurePosixPath
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from whisper_models.bundled import NotBundled
from whisper_models.cache import models_folder
from whisper_models.catalogue import BUNDLED, CatalogueModel, UnknownModel, catalogue
from whisper_models.download import DownloadFailed, Sign, download_model
from whisper_models.ensure import ensure_model
from whisper_models.fetch_log import failure_line, progress_lines
from whisper_models.ggml import InvalidModelFile, check_model_file
from whisper_models.s3 import DEFAULT_REGION, Credentials, object_url, signer

app = typer.Typer(
    help="Whisper models in ggml format: which there are, fetched whole or not at all.", no_args_is_help=True
)

_SENTENCES = (UnknownModel, NotBundled, DownloadFailed, InvalidModelFile)


@app.command("list")
def list_models() -> None:
    """Show every model of the catalogue and whether it is in the cache."""
    table = Table("model", "size", "here", box=None)
    for model in BUNDLED.values():
        table.add_row(model.name, _size(model.size_bytes), "bundled")
    for model in catalogue().values():
        is_here = (models_folder() / model.file).is_file()
        table.add_row(model.name, _size(model.size_bytes), "yes" if is_here else "")
    Console().print(table)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A name from the list, such as base.en.")],
    folder: Annotated[Path | None, typer.Option("--dir", help="Where to put it; the user's cache if left out.")] = None,
    mirror: Annotated[str | None, typer.Option(help="Address of a folder that holds the same files.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Tell progress and failure as lines of JSON.")] = False,
) -> None:
    """Download a model, verify it and print its path; a broken download is continued."""
    if as_json:
        _run(ensure_model(name, folder=folder, mirror=mirror, on_progress=progress_lines(typer.echo)), as_json=True)
    else:
        _run(fetch_with_bar(name, folder=folder, mirror=mirror, console=Console(stderr=True)))


@app.command()
def fetch_url(
    url: Annotated[str, typer.Argument(help="Address of a model file in ggml format.")],
    file: Annotated[str, typer.Option(help="Name that the file gets.")],
    sha256: Annotated[str | None, typer.Option(help="Its checksum; a file with another one is deleted.")] = None,
    folder: Annotated[Path | None, typer.Option("--dir", help="Where to put it; the user's cache if left out.")] = None,
    token: Annotated[
        str | None, typer.Option(envvar="WHISPER_MODELS_TOKEN", help="Sent as `Authorization: Bearer`.")
    ] = None,
) -> None:
    """Download a model that is not in the list, and tell progress and failure as lines of JSON."""
    name = PurePosixPath(urlsplit(url).path).name or file
    model = CatalogueModel(name=name, file=file, size_bytes=None, sha1=None, sha256=sha256, url=url)
    work = download_model(model, folder or models_folder(), token=token, on_progress=progress_lines(typer.echo))
    _run(work, as_json=True)


@app.command()
def fetch_s3(
    bucket: Annotated[str, typer.Argument(help="Bucket of a model file in ggml format.")],
    key: Annotated[str, typer.Argument(help="Its key in the bucket.")],
    file: Annotated[str, typer.Option(help="Name that the file gets.")],
    sha256: Annotated[str | None, typer.Option(help="Its checksum; a file with another one is deleted.")] = None,
    folder: Annotated[Path | None, typer.Option("--dir", help="Where to put it; the user's cache if left out.")] = None,
    region: Annotated[str, typer.Option(help="Region of the bucket.")] = DEFAULT_REGION,
    endpoint: Annotated[str | None, typer.Option(help="Address of a server other than AWS'.")] = None,
) -> None:
    """Download a model from S3, signed with the environment's AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY if they are set.

    Progress and failure are told as lines of JSON.
    """
    url = object_url(bucket, key, region=region, endpoint=endpoint)
    model = CatalogueModel(name=PurePosixPath(key).name, file=file, size_bytes=None, sha1=None, sha256=sha256, url=url)
    sign = _signed_by_environment(region)
    work = download_model(model, folder or models_folder(), sign=sign, on_progress=progress_lines(typer.echo))
    _run(work, as_json=True)


def _signed_by_environment(region: str) -> Sign | None:
    """With what the environment holds under AWS' own names; a public bucket needs none."""
    key_id, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not key_id or not secret:
        return None
    try:
        return signer(Credentials(key_id, secret, os.environ.get("AWS_SESSION_TOKEN") or None), region)
    except ModuleNotFoundError as error:
        message = f"{error.name} is not installed: signed requests need it. Install whisperfleet[models,s3]."
        raise _exit_with(RuntimeError(message)) from None


def _run(work: Coroutine[Any, Any, Path], *, as_json: bool = False) -> None:
    try:
        path = asyncio.run(work)
    except _SENTENCES as error:
        if not as_json:
            raise _exit_with(error) from None
        typer.echo(failure_line(error))
        raise typer.Exit(1) from None
    typer.echo(path)


@app.command()
def verify(file: Annotated[Path, typer.Argument(help="A model file.")]) -> None:
    """Check that a file is a whole Whisper model, and the one that its name says."""
    try:
        check_model_file(file)
    except InvalidModelFile as error:
        raise _exit_with(error) from None
    typer.echo(f"{file} is a whole Whisper model.")


async def fetch_with_bar(name: str, *, folder: Path | None = None, mirror: str | None = None, console: Console) -> Path:
    """`ensure_model` with a progress bar, which shows only if something is downloaded."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"Downloading {name}", total=None, visible=False)

        def show(done_bytes: int, total_bytes: int | None) -> None:
            progress.update(task, completed=done_bytes, total=total_bytes, visible=True)

        return await ensure_model(name, folder=folder, mirror=mirror, on_progress=show)


def _size(size_bytes: int | None) -> str:
    return f"{size_bytes / 1e6:,.0f} MB" if size_bytes else ""


def _exit_with(error: Exception) -> typer.Exit:
    typer.echo(str(error), err=True)
    return typer.Exit(1)
