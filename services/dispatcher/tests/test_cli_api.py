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
from click.testing import Result
from typer.testing import CliRunner

from whisper_dispatcher.cli import app
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
    """Answers what it is told to, in turn, and keeps what it was sent. Status 0: it breaks off without an answer."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, object]] = []
        self.retry_after = "0"
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Gateway

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.keys.append(self.headers["X-API-Key"])
        status, body = self.server.answers.pop(0)
        if not status:
            return
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("Retry-After", self.server.retry_after)
        self.end_headers()
        self.wfile.write(payload)

    def do_POST(self) -> None:
        self.do_GET()

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


def accepted(job: str) -> tuple[int, object]:
    return 202, {"job": {"id": job, "state": "queued"}}


def seen(job: str, state: str) -> tuple[int, object]:
    return 200, {"id": job, "state": state}


def refused(status: int, code: str) -> tuple[int, object]:
    return status, {"error": {"message": "A sentence.", "code": code}}


GONE: tuple[int, object] = (0, None)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)


def transcribe(gateway: Gateway, folder: Path, *files: str) -> Result:
    for file in files:
        (folder / file).write_bytes(b"RIFF")
    paths = [str(folder / file) for file in files]
    return CliRunner().invoke(app, ["transcribe", *paths, "--url", gateway.url, "--key", "k"])


@pytest.mark.usefixtures("no_pauses")
def test_a_job_that_cannot_be_asked_for_takes_no_other_files_text_along(gateway: Gateway, tmp_path: Path) -> None:
    erased = refused(404, "job_not_found")
    gateway.answers = [accepted("j1"), accepted("j2"), erased, seen("j2", "completed"), (200, "second text")]
    result = transcribe(gateway, tmp_path, "one.wav", "two.wav")
    assert "second text" in result.stdout
    assert "one.wav: A sentence. `whisperfleet jobs show j1` tells its state." in result.stderr
    assert result.exit_code == 1


@pytest.mark.usefixtures("no_pauses")
def test_a_gateway_that_goes_while_texts_are_awaited_is_asked_again(gateway: Gateway, tmp_path: Path) -> None:
    gateway.answers = [accepted("j1"), GONE, seen("j1", "completed"), (200, "the text")]
    result = transcribe(gateway, tmp_path, "one.wav")
    assert (result.exit_code, "the text" in result.stdout, "Trying again" in result.stderr) == (0, True, True)


@pytest.mark.usefixtures("no_pauses")
def test_a_text_that_another_gateway_has_not_heard_of_is_asked_for_again(gateway: Gateway, tmp_path: Path) -> None:
    completed = seen("j1", "completed")
    gateway.answers = [accepted("j1"), completed, refused(409, "job_not_done"), completed, (200, "the text")]
    result = transcribe(gateway, tmp_path, "one.wav")
    assert (result.exit_code, "the text" in result.stdout) == (0, True)


def test_who_waits_no_longer_is_given_the_texts_that_are_there_and_where_the_others_are(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    done, running_ = seen("j1", "completed"), seen("j2", "running")
    gateway.answers = [accepted("j1"), accepted("j2"), done, (200, "first text"), running_]
    result = transcribe(gateway, tmp_path, "one.wav", "two.wav")
    assert "first text" in result.stdout
    assert "two.wav: Job j2 goes on. `whisperfleet jobs result j2` prints its text" in result.stderr
    assert result.exit_code == 130


@pytest.mark.usefixtures("no_pauses")
def test_files_whose_names_are_no_utf8_are_named_readably(gateway: Gateway, tmp_path: Path) -> None:
    gateway.answers = [accepted("j1"), accepted("j2"), seen("j1", "completed"), (200, "text"), refused(404, "")]
    result = transcribe(gateway, tmp_path, os.fsdecode(b"caf\xe9.wav"), os.fsdecode(b"th\xe9.wav"))
    assert "caf\N{REPLACEMENT CHARACTER}.wav:" in result.stdout
    assert "th\N{REPLACEMENT CHARACTER}.wav: A sentence." in result.stderr
