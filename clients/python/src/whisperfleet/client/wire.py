"""Between this package's requests and httpx's; the same for both clients."""

from __future__ import annotations

import os
from typing import Any

import httpx

from whisperfleet.client.errors import WhisperfleetError
from whisperfleet.client.steps import Answer, Lost, Request

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0
KEPT_CONNECTIONS = 20
PATIENCE_S = 600.0
"""How long a gateway that is away, or says `come back later`, is asked again."""


def client_options(url: str | None, key: str | None) -> dict[str, Any]:
    """What is not given is taken from WHISPERFLEET_URL and WHISPERFLEET_API_KEY."""
    url = url or os.environ.get("WHISPERFLEET_URL", "")
    key = key or os.environ.get("WHISPERFLEET_API_KEY", "")
    if not url.startswith(("http://", "https://")):
        raise WhisperfleetError(
            f"{url!r} is no address of a gateway: it begins with http:// or https://. Give one, or set WHISPERFLEET_URL."
        )
    if not key:
        raise WhisperfleetError(f"No API key for {url} is known. Give one, or set WHISPERFLEET_API_KEY.")
    return {
        "base_url": url.rstrip("/"),
        "headers": {"X-API-Key": key},
        # A job that is waited for holds its stream of events, and nothing else may wait for one of them to end.
        "limits": httpx.Limits(max_connections=None, max_keepalive_connections=KEPT_CONNECTIONS),
        "timeout": httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
    }


def build_arguments(request: Request) -> dict[str, Any]:
    """For httpx's build_request; the content of an upload is each client's own."""
    headers = dict(request.headers)
    if upload := request.upload:
        headers["Content-Type"] = upload.content_type
        length_bytes = upload.length_bytes()
        if length_bytes is not None:
            headers["Content-Length"] = str(length_bytes)
    timeout = httpx.Timeout(request.read_timeout_s or READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    return {
        "method": request.method,
        "url": request.path,
        "params": dict(request.params) or None,
        "headers": headers,
        "timeout": timeout,
    }


def answer(response: httpx.Response, body: bytes) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, body)


def lost(error: httpx.TransportError, url: httpx.URL) -> Lost:
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        return Lost(f"Nothing answers at {url}.")
    return Lost(f"The gateway at {url} broke off ({error or type(error).__name__}).")
