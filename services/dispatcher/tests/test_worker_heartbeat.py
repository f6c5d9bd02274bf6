"""What a worker tells of itself."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from whisper_contracts import names
from whisper_contracts.messages import ServerStatus, ServerWork
from whisper_dispatcher import __version__
from whisper_dispatcher.worker import heartbeat
from whisper_dispatcher.worker.heartbeat import AtWork, server_status
from whisper_dispatcher.worker.server_log import Backend
from whisper_dispatcher.worker.supervisor import SlotState

ROOT = Path(__file__).resolve().parents[3]


def state(
    *, ready: bool = True, stage: str = "running", backend: Backend | None = None, restarts: int = 0
) -> SlotState:
    return SlotState(0, True, ready, False, restarts, stage, backend, 7, "")


def test_a_server_with_a_window_names_it_and_how_long_it_has_it() -> None:
    work = ServerWork(job="j", window=4, busy_s=2.5)
    busy = ServerStatus(doing="busy", device="CUDA0", restarts=2, work=work)
    assert server_status(state(backend=Backend("CUDA0"), restarts=2), AtWork("j", 4, since=10.0), 12.5) == busy


@pytest.mark.parametrize(
    ("server", "doing"),
    [
        (state(), "idle"),
        (state(ready=False, stage="reading the model"), "reading the model"),
        (state(ready=False, stage="running"), "being tried"),
        (state(ready=False, stage="down"), "down"),
    ],
)
def test_a_server_without_one_says_what_it_waits_for(server: SlotState, doing: str) -> None:
    assert server_status(server, None, 0.0) == ServerStatus(doing=doing)


def test_nothing_of_what_is_said_in_a_recording_is_told() -> None:
    assert ServerWork.model_fields.keys() == {"version", "job", "window", "busy_s"}


@pytest.mark.parametrize("host", ["pod-7d9f-x2", "a.b.example", "host name", "x" * 300, "ü"])
def test_a_workers_name_fits_into_a_subject_whatever_the_machine_is_called(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat.socket, "gethostname", lambda: host)
    name = heartbeat.worker_name()
    assert names.token(name) == name
    assert names.worker_subject("base.en", name) == f"whisper.workers.base=en.{name}"


def test_the_version_that_is_told_is_the_distributions() -> None:
    assert __version__ == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
