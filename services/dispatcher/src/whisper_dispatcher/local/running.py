"""Where `whisperfleet up` notes how it is reached, so that the other commands find it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from whisper_dispatcher.local.data_folder import write_private


@dataclass(frozen=True, slots=True)
class Running:
    url: str
    key: str
    nats_url: str
    nats_password: str
    """Of the user `admin`."""
    system_password: str
    data: str
    worker_probe_url: str
    planner_probe_url: str
    pid: int


def running_file() -> Path:
    users = os.environ.get("XDG_STATE_HOME")
    return (Path(users) if users else Path.home() / ".local" / "state") / "whisperfleet" / "running.json"


def note(running: Running) -> None:
    write_private(running_file(), json.dumps(asdict(running), indent=2) + "\n")


def forget(pid: int) -> None:
    """Only one's own note: a second `up` may have written its own since."""
    running = find()
    if running is not None and running.pid == pid:
        running_file().unlink(missing_ok=True)


def find() -> Running | None:
    """None when nothing runs; a note whose process is gone counts as nothing."""
    try:
        running = Running(**json.loads(running_file().read_text()))
        os.kill(running.pid, 0)
    except (OSError, ValueError, TypeError):
        return None
    return running
