from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gateway_harness import NatsServer
from typer.testing import CliRunner

from whisper_contracts.messages import ClientRecord
from whisper_dispatcher.cli import app
from whisper_dispatcher.cli.clients import quota_text
from whisper_dispatcher.cli.jobs import job_fields
from whisper_dispatcher.cli.transcribe import progress_note, readable
from whisperfleet.client import Job

JOB: dict[str, Any] = {
    "id": "j1",
    "state": "running",
    "filename": "note.ogg",
    "model": "demo.en",
    "class": "interactive",
    "duration_s": 61.25,
    "windows": {"done": 1, "total": 3},
    "queue_position": 0,
    "attempts": 0,
    "created_at": 0.0,
    "finished_at": None,
    "reason": None,
    "message": None,
}


def test_help_comes_without_loading_what_the_commands_need() -> None:
    """Half a second of imports each; who asks for --help or completes a word waits for none of them."""
    code = "import sys, whisper_dispatcher.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"nats", "httpx", "pydantic", "fastapi", "structlog"} & set(loaded)


def test_progress_counts_windows() -> None:
    assert progress_note(Job.model_validate(JOB)) == "1 of 3 windows"


def test_progress_before_the_plan_says_how_many_jobs_are_before() -> None:
    unplanned = JOB | {"windows": {"done": 0, "total": None}}
    assert progress_note(Job.model_validate(unplanned | {"queue_position": 4})) == "4 jobs are before it"
    assert progress_note(Job.model_validate(unplanned)) == "is planned"


def test_fields_without_a_value_are_not_shown() -> None:
    assert job_fields(Job.model_validate(JOB)) == {
        "job": "j1",
        "state": "running",
        "file": "note.ogg",
        "model": "demo.en",
        "class": "interactive",
        "length": "61.2 s",
        "windows": "1 of 3",
    }


def test_json_is_indented_for_people_and_as_it_came_for_programs() -> None:
    assert readable('{"text":"é"}', is_terminal=True) == '{\n  "text": "é"\n}'
    assert readable('{"text":"é"}', is_terminal=False) == '{"text":"é"}'
    assert readable("hello\n", is_terminal=True) == "hello"


def test_quotas_are_told_in_words() -> None:
    record = ClientRecord(client="c", name="bot", requests_per_minute=60, models=("demo.en",), operator=True)
    assert quota_text(record) == "60 requests a minute; only demo.en; operator"
    assert quota_text(ClientRecord(client="c", name="bot")) == "none"


@pytest.mark.parametrize(
    "command",
    ["up", "demo", "doctor", "install-tools", "transcribe", "gateway", "planner", "worker", "prepare"]
    + [f"jobs {verb}" for verb in ("list", "show", "result", "cancel")]
    + [f"dead-letters {verb}" for verb in ("list", "show", "requeue")]
    + [f"clients {verb}" for verb in ("create", "list", "revoke")],
)
def test_every_command_explains_itself(command: str) -> None:
    result = CliRunner().invoke(app, [*command.split(), "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.stdout


def whisperfleet(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, since commands set up logging for their whole process."""
    program = [sys.executable, "-c", "from whisper_dispatcher.cli import app; app()", *arguments]
    return subprocess.run(program, capture_output=True, text=True, timeout=60)


def test_an_unknown_model_is_refused_with_a_sentence_before_anything_starts() -> None:
    result = whisperfleet("up", "--model", "bose.en")
    assert result.returncode == 1
    assert "There is no model named 'bose.en' in the catalogue. Did you mean base.en" in result.stderr
    assert "Traceback" not in result.stderr


def test_up_with_the_bot_asks_for_its_token_before_anything_starts() -> None:
    result = whisperfleet("up", "--bot")
    assert result.returncode == 1
    assert "TELEGRAM_BOT_TOKEN is not set. @BotFather gives you a token" in result.stderr


def test_a_missing_file_is_refused_with_a_sentence() -> None:
    result = whisperfleet("transcribe", "no-such.ogg")
    assert result.returncode == 2
    assert "no-such.ogg" in result.stderr


def test_prepare_says_what_to_do_when_the_queue_has_too_little_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = NatsServer(tmp_path, store_bytes=512 * 1024**2)
    server.start()
    monkeypatch.setenv("WHISPERFLEET_NATS_URL", server.url)
    try:
        refused = whisperfleet("prepare", "--model", "demo.en", "--store-gib", "1")
        assert refused.returncode == 1
        assert "NATS refused stream OBJ_audio: insufficient storage resources available." in refused.stderr
        assert "take less of it with --store-gib" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert whisperfleet("prepare", "--model", "demo.en", "--store-gib", "0.25").returncode == 0
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"<html>Sign in</html>", "is not a ggml Whisper model"), (None, "There is no model file at")],
)
def test_up_refuses_a_file_that_is_no_model_before_it_starts_anything(
    content: bytes | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    server = tmp_path / "whisper-server"
    server.write_text(f"#!/bin/sh\ntouch {started}\n")
    server.chmod(0o755)
    monkeypatch.setenv("WHISPER_SERVER", str(server))
    model = tmp_path / "other.bin"
    if content is not None:
        model.write_bytes(content)
    result = whisperfleet("up", "--model", str(model), "--data", str(tmp_path / "data"))
    assert result.returncode == 1
    assert words in " ".join(result.stderr.split())
    assert not started.exists() and not (tmp_path / "data").exists()
