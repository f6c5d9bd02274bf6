"""Which gateway a command talks to, and how a person is told what it says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from whisper_dispatcher.cli.sentences import say, told

if TYPE_CHECKING:
    from whisperfleet.client import Client
    from whisperfleet.client.steps import Pause

Url = Annotated[str | None, typer.Option("--url", help="Of the gateway; else WHISPERFLEET_URL, else what runs here.")]
Key = Annotated[str | None, typer.Option("--key", help="The API key; better in WHISPERFLEET_API_KEY.")]


@contextmanager
def opened(
    url: str | None, key: str | None, tell: Callable[[str], None] = say, has_begun: Callable[[], bool] = lambda: False
) -> Iterator[Client]:
    """The gateway's client; what the gateway refuses ends the command with its sentence. has_begun: as of `connect`."""
    from whisperfleet.client import WhisperfleetError

    with told(WhisperfleetError), connect(url, key, tell, has_begun) as client:
        yield client


def connect(
    url: str | None, key: str | None, tell: Callable[[str], None], has_begun: Callable[[], bool] = lambda: False
) -> Client:
    """What was given, else the environment, else the `whisperfleet up` that runs here. Raises WhisperfleetError.

    has_begun: whether the gateway has taken something, and is waited for if it is away.
    """
    from whisper_dispatcher.local import running
    from whisper_dispatcher.settings import PREFIX
    from whisperfleet.client import Client, WhisperfleetError

    here = running.find()
    url = url or os.environ.get(PREFIX + "URL") or (here.url if here else None)
    if not url:
        raise WhisperfleetError(
            "No gateway is known. Start one with `whisperfleet up`, or set WHISPERFLEET_URL or --url."
        )
    # The local key goes to the local gateway alone.
    own_key = here.key if here and here.url == url.rstrip("/") else None
    key = key or os.environ.get(PREFIX + "API_KEY") or own_key
    if not key:
        raise WhisperfleetError(f"No API key for {url} is known. Set WHISPERFLEET_API_KEY or --key.")
    return Client(url, key, on_pause=lambda pause: _tell_why(pause, tell, has_begun()))


def _tell_why(pause: Pause, tell: Callable[[str], None], has_begun: bool) -> None:
    """A busy gateway is worth waiting for; one that is not there is somebody's to start."""
    from whisperfleet.client import GatewayUnreachable

    if isinstance(pause.because, GatewayUnreachable) and not has_begun:
        raise GatewayUnreachable(f"{pause.because} Start it with `whisperfleet up`, or correct --url.")
    tell(f"{pause.because} Trying again in {pause.delay_s:.2g} s.")
