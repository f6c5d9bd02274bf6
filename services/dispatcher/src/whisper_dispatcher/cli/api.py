"""The gateway's HTTP API, as a command sees it: answers, or sentences."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from whisper_dispatcher.local import running
from whisper_dispatcher.settings import PREFIX

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0
BUSY_STATUS = {429, 503}
PATIENCE_S = 600.0
"""How long a gateway that says `come back later` is asked again."""
LONGEST_PAUSE_S = 30.0
FIRST_PAUSE_S = 1.0

Url = Annotated[str | None, typer.Option("--url", help="Of the gateway; else WHISPERFLEET_URL, else what runs here.")]
Key = Annotated[str | None, typer.Option("--key", help="The API key; better in WHISPERFLEET_API_KEY.")]


class ApiFailed(Exception):
    """The sentence is the gateway's own, or says that it cannot be reached."""


class CountedFile(io.FileIO):
    """Tells how many bytes have been read, so that an upload can show how far it is."""

    def __init__(self, path: Path, on_read: Callable[[int], None]) -> None:
        super().__init__(path)
        self._on_read = on_read

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size) or b""
        self._on_read(len(data))
        return data


class Api:
    def __init__(self, url: str, key: str, tell: Callable[[str], None]) -> None:
        self._url = url
        self._tell = tell
        self._http = httpx.Client(
            base_url=url,
            headers={"X-API-Key": key},
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        )

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def submit(self, path: Path, form: dict[str, str], on_read: Callable[[int], None]) -> str:
        """The job's id. The file is streamed; a busy gateway is asked again when it says so."""

        def send() -> httpx.Response:
            with CountedFile(path, on_read) as file:
                return self._http.post("/v1/jobs", data=form, files={"file": (path.name, file)})

        return str(self._patiently(send).json()["job"]["id"])

    def get(self, path: str, **params: str | int) -> Any:
        return self._patiently(lambda: self._http.get(path, params=params)).json()

    def get_text(self, path: str, **params: str | int) -> str:
        return self._patiently(lambda: self._http.get(path, params=params)).text

    def delete(self, path: str) -> None:
        self._patiently(lambda: self._http.delete(path))

    def post(self, path: str) -> Any:
        return self._patiently(lambda: self._http.post(path)).json()

    def _patiently(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        until = time.monotonic() + PATIENCE_S
        while True:
            response = self._sent(send)
            if response.is_success:
                return response
            pause_s = pause_before_retry_s(response.status_code, response.headers.get("retry-after"))
            if pause_s is None or time.monotonic() + pause_s > until:
                raise ApiFailed(error_sentence(response))
            self._tell(f"{error_sentence(response)} Trying again in {pause_s:g} s.")
            time.sleep(pause_s)

    def _sent(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        try:
            return send()
        except httpx.ConnectError:
            raise ApiFailed(
                f"Nothing answers at {self._url}. Start it with `whisperfleet up`, or correct --url."
            ) from None
        except httpx.HTTPError as error:
            raise ApiFailed(
                f"The gateway at {self._url} broke off ({error or type(error).__name__}). Try again."
            ) from error


def pause_before_retry_s(status: int, retry_after: str | None) -> float | None:
    """None: asking again would not help."""
    if status not in BUSY_STATUS:
        return None
    asked_s = float(retry_after) if retry_after and retry_after.isdigit() else FIRST_PAUSE_S
    return min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, asked_s))


def error_sentence(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"{response.url} answered {response.status_code} {response.reason_phrase}."


def connect(url: str | None, key: str | None, tell: Callable[[str], None]) -> Api:
    """What was given, else the environment, else the `whisperfleet up` that runs here. Raises ApiFailed."""
    here = running.find()
    url = url or os.environ.get(PREFIX + "URL") or (here.url if here else None)
    if not url:
        raise ApiFailed("No gateway is known. Start one with `whisperfleet up`, or set WHISPERFLEET_URL or --url.")
    # The local key goes to the local gateway alone.
    own_key = here.key if here and here.url == url.rstrip("/") else None
    key = key or os.environ.get(PREFIX + "API_KEY") or own_key
    if not key:
        raise ApiFailed(f"No API key for {url} is known. Set WHISPERFLEET_API_KEY or --key.")
    if not url.startswith(("http://", "https://")):
        raise ApiFailed(f"{url} is no address of a gateway: it begins with http:// or https://.")
    return Api(url.rstrip("/"), key, tell)
