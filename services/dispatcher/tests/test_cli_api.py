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

import httpx
import pytest

from whisper_dispatcher.cli.api import Api, ApiFailed, connect, error_sentence, pause_before_retry_s
from whisper_dispatcher.local import running
from whisper_dispatcher.local.running import Running


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
        self.bodies: list[bytes] = []
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.do_GET()

    def do_GET(self) -> None:
        self.server.keys.append(self.headers["X-API-Key"])
        status, body = self.server.answers.pop(0)
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
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


def test_an_upload_arrives_whole_and_tells_how_far_it_is(gateway: Gateway, tmp_path: Path) -> None:
    audio = tmp_path / "note.ogg"
    audio.write_bytes(os.urandom(300_000))
    gateway.answers = [(202, {"job": {"id": "abc"}})]
    read: list[int] = []
    with Api(gateway.url, "wf_k", silent) as api:
        assert api.submit(audio, {"language": "en"}, read.append) == "abc"
    assert audio.read_bytes() in gateway.bodies[0]
    assert b'name="language"\r\n\r\nen' in gateway.bodies[0]
    assert sum(read) == 300_000
    assert gateway.keys == ["wf_k"]


def test_a_refusal_is_told_in_the_gateways_own_words(gateway: Gateway) -> None:
    gateway.answers = [(404, {"error": {"message": "There is no job 'x' of this API key."}})]
    with (
        Api(gateway.url, "k", silent) as api,
        pytest.raises(ApiFailed, match=r"^There is no job 'x' of this API key\.$"),
    ):
        api.get("/v1/jobs/x")


def test_a_full_queue_is_asked_again(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    gateway.answers = [(429, {"error": {"message": "The queue is full."}}), (200, {"data": []})]
    told: list[str] = []
    with Api(gateway.url, "k", told.append) as api:
        assert api.get("/v1/jobs") == {"data": []}
    assert pauses == [1.0]
    assert told == ["The queue is full. Trying again in 1 s."]


def test_a_gateway_that_is_not_there_is_named(tmp_path: Path) -> None:
    with Api("http://127.0.0.1:1", "k", silent) as api, pytest.raises(ApiFailed, match="Nothing answers at http://127"):
        api.get("/v1/jobs")


@pytest.mark.parametrize(
    ("status", "retry_after", "pause_s"),
    [(429, "7", 7.0), (429, None, 1.0), (503, "0", 1.0), (429, "86400", 30.0), (400, "7", None), (500, None, None)],
)
def test_only_a_busy_gateway_is_asked_again(status: int, retry_after: str | None, pause_s: float | None) -> None:
    assert pause_before_retry_s(status, retry_after) == pause_s


def test_an_answer_that_is_no_error_object_is_still_a_sentence() -> None:
    response = httpx.Response(502, text="<html>", request=httpx.Request("GET", "http://host/v1/jobs"))
    assert error_sentence(response) == "http://host/v1/jobs answered 502 Bad Gateway."


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
    gateway.answers = [(200, {})]
    with connect(None, None, silent) as api:
        api.get("/v1/jobs")
    assert gateway.keys == ["wf_local"]


def test_the_local_key_is_sent_to_no_other_gateway() -> None:
    running.note(here("http://127.0.0.1:8000"))
    with pytest.raises(ApiFailed, match=r"No API key for https://elsewhere\.example is known"):
        connect("https://elsewhere.example", None, silent)


def test_without_a_gateway_the_sentence_says_how_to_get_one() -> None:
    with pytest.raises(ApiFailed, match="Start one with `whisperfleet up`"):
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
