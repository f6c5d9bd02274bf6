from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from whisper_dispatcher.planner.settings import PlannerSettings
from whisper_dispatcher.worker.settings import WorkerSettings

WORKER = {
    "WHISPERFLEET_MODEL": "base.en",
    "WHISPERFLEET_MODEL_PATH": "/models/base.en.bin",
    "WHISPERFLEET_WHISPER_SERVER": "/bin/whisper-server",
}


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (WORKER | {"WHISPERFLEET_SLOTS": "3", "WHISPERFLEET_NATS_URL": "nats://queue:4222"}).items():
        monkeypatch.setenv(name, value)
    settings = WorkerSettings.load()
    assert (settings.slots, settings.nats_url) == (3, "nats://queue:4222")
    assert settings.model_path == Path("/models/base.en.bin")


def test_every_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in (WORKER | {"WHISPERFLEET_SLOTS": "0", "WHISPERFLEET_THREADS": "many"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WHISPERFLEET_NATS_PASSWORD", "a secret")
    monkeypatch.delenv("WHISPERFLEET_MODEL")
    with pytest.raises(SystemExit) as stopped:
        WorkerSettings.load()
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "a secret" not in said
    assert "many" not in said, "it might be a secret, too"
    lines = said.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "WHISPERFLEET_MODEL",
        "WHISPERFLEET_SLOTS",
        "WHISPERFLEET_THREADS",
    ]
    assert "valid integer" in lines[2]


def test_a_planner_may_not_hold_no_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHISPERFLEET_INTERACTIVE_JOBS", "0")
    with pytest.raises(SystemExit):
        PlannerSettings.load()


@pytest.mark.parametrize(
    ("model", "language", "spoken"), [("base.en", "auto", "en"), ("base", "auto", "auto"), ("base", "de", "de")]
)
def test_an_english_model_speaks_english(model: str, language: str, spoken: str) -> None:
    settings = WorkerSettings(model=model, language=language, model_path=Path("m"), whisper_server=Path("s"))
    assert settings.server_language == spoken


def test_a_password_is_read_from_the_file_that_systemd_or_a_container_engine_puts_there(tmp_path: Path) -> None:
    (tmp_path / "whisperfleet_nats_password").write_text("from a file\n")
    program = "from whisper_dispatcher.settings import ProcessSettings; print(ProcessSettings.load().nats_password)"
    environment = os.environ | {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    found = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout == "from a file\n"
