from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from whisper_dispatcher.cli.api import connect
from whisper_dispatcher.local import running
from whisper_dispatcher.local.running import Running
from whisperfleet.client import WhisperfleetError


def silent(_: str) -> None: ...


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("WHISPERFLEET_URL", raising=False)
    monkeypatch.delenv("WHISPERFLEET_API_KEY", raising=False)


class Gateway(HTTPServer):
    """Answers what it is told to, in turn, and keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, dict[str, object]]] = []
        self.retry_after = "0"
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_GET(self) -> None:
        self.server.keys.append(self.headers["X-API-Key"])
        status, body = self.server.answers.pop(0)
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("Retry-After", self.server.retry_after)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    server = Gateway()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_refusal_is_told_in_the_gateways_own_words(gateway: Gateway) -> None:
    gateway.answers = [(404, {"error": {"message": "There is no job 'x' of this API key."}})]
    with (
        connect(gateway.url, "k", silent) as client,
        pytest.raises(WhisperfleetError, match=r"^There is no job 'x' of this API key\.$"),
    ):
        client.job("x")


def test_a_full_queue_is_asked_again_and_the_person_is_told(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    gateway.retry_after = "2"
    gateway.answers = [(429, {"error": {"message": "The queue is full."}}), (200, {"data": []})]
    told: list[str] = []
    with connect(gateway.url, "k", told.append) as client:
        assert client.jobs().data == ()
    assert pauses == [2.0]
    assert told == ["The queue is full. Trying again in 2 s."]


def test_a_gateway_that_is_not_there_is_named_at_once() -> None:
    with (
        connect("http://127.0.0.1:1", "k", silent) as client,
        pytest.raises(WhisperfleetError, match=r"Nothing answers at http://127.*Start it with `whisperfleet up`"),
    ):
        client.jobs()


def here(url: str) -> Running:
    return Running(
        url=url,
        key="wf_local",
        nats_url="nats://127.0.0.1:4222",
        nats_password="p",
        system_password="s",
        data="/data",
        worker_probe_url="",
        planner_probe_url="",
        pid=os.getpid(),
    )


def test_the_local_key_is_sent_to_the_local_gateway(gateway: Gateway) -> None:
    running.note(here(gateway.url))
    gateway.answers = [(200, {"data": []})]
    with connect(None, None, silent) as client:
        client.jobs()
    assert gateway.keys == ["wf_local"]


def test_the_local_key_is_sent_to_no_other_gateway() -> None:
    running.note(here("http://127.0.0.1:8000"))
    with pytest.raises(WhisperfleetError, match=r"No API key for https://elsewhere\.example is known"):
        connect("https://elsewhere.example", None, silent)


def test_without_a_gateway_the_sentence_says_how_to_get_one() -> None:
    with pytest.raises(WhisperfleetError, match="Start one with `whisperfleet up`"):
        connect(None, None, silent)


def test_the_note_of_a_process_that_is_gone_counts_as_nothing() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    running.note(replace(here("http://127.0.0.1:8000"), pid=gone.pid))
    assert running.find() is None


def test_the_note_can_be_read_by_its_owner_alone() -> None:
    running.note(here("http://127.0.0.1:8000"))
    assert running.running_file().stat().st_mode & 0o777 == 0o600


def test_the_note_of_another_up_is_left_alone() -> None:
    running.note(here("http://127.0.0.1:8000"))
    running.forget(os.getpid() + 1)
    assert running.find() is not None
    running.forget(os.getpid())
    assert running.find() is None
