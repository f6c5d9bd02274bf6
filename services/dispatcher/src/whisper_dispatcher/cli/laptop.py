"""The whole pipeline on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from whisper_dispatcher.cli.sentences import consoles, told


def up(
    model: Annotated[
        str, typer.Option(help="A catalogue name such as base.en, or the path of a ggml file.")
    ] = "demo.en",
    servers: Annotated[int, typer.Option(min=1, max=64, help="How many whisper-servers share the work.")] = 1,
    data: Annotated[Path | None, typer.Option(help="Keep jobs and keys here over restarts.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the HTTP API; 0 = any free one.")] = 8080,
    ready_file: Annotated[
        Path | None, typer.Option(help='Gets {"url", "key"} once the pipeline answers; for scripts.')
    ] = None,
    bot: Annotated[
        bool, typer.Option("--bot", help="The Telegram bot too; its token is in TELEGRAM_BOT_TOKEN.")
    ] = False,
) -> None:
    """Run the pipeline until Ctrl-C, which lets running work finish."""
    from whisper_dispatcher.local.up import UpOptions
    from whisper_dispatcher.local.up import up as run

    _log_as("up")
    with told(*_start_failures()):
        raise typer.Exit(run(UpOptions(model, servers, data, port, ready_file, bot), consoles()[1]))


def demo() -> None:
    """Transcribe the sample recordings through the whole pipeline and show the texts."""
    from whisper_dispatcher.local.demo import demo as run

    _log_as("demo")
    with told(*_start_failures()):
        raise typer.Exit(run(consoles()[0]))


def install_tools() -> None:
    """Have nats-server and whisper-server in place; builds what is missing."""
    from whisper_dispatcher.local.errors import ToolMissing
    from whisper_dispatcher.local.tools import install_tools as run

    with told(ToolMissing):
        run(consoles()[0])


def doctor(
    context: Annotated[str, typer.Option(help="Examine the cluster of this kubectl context instead.")] = "",
) -> None:
    """Check every part of a running pipeline and say what is wrong and what to do."""
    from whisper_dispatcher.local.doctor import cluster_doctor
    from whisper_dispatcher.local.doctor import doctor as run

    _log_as("doctor")
    console = consoles()[0]
    with told():
        raise typer.Exit(cluster_doctor(console, context) if context else run(console))


def _log_as(process: str) -> None:
    from whisper_dispatcher import logs

    logs.configure(process, as_json=False)


def _start_failures() -> tuple[type[Exception], ...]:
    from whisper_dispatcher.jetstream.errors import QueueRefused
    from whisper_dispatcher.local.data_folder import FolderInUse, FolderUnusable
    from whisper_dispatcher.local.errors import ToolMissing
    from whisper_dispatcher.local.nats_server import DiskTooFull
    from whisper_dispatcher.local.pipeline import StartFailed
    from whisper_models.bundled import NotBundled
    from whisper_models.catalogue import UnknownModel
    from whisper_models.download import DownloadFailed
    from whisper_models.ggml import InvalidModelFile

    return (
        FolderInUse,
        FolderUnusable,
        ToolMissing,
        DiskTooFull,
        StartFailed,
        QueueRefused,
        NotBundled,
        UnknownModel,
        DownloadFailed,
        InvalidModelFile,
    )
