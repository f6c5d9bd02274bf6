"""The processes of this run, found by a mark in their environment (Linux)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MARK = "CHAOS_RUN"


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    parent: int
    command: str


def mark(run: str) -> None:
    """Every process started from now on inherits it."""
    os.environ[MARK] = run


def marked(run: str) -> list[Process]:
    """Living processes of the run; this one was started before it was marked and is none of them."""
    wanted = f"{MARK}={run}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if wanted not in (folder / "environ").read_bytes().split(b"\0"):
                continue
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            # The name in the second field may hold blanks and brackets; the fields after it do not.
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            found.append(Process(int(folder.name), int(parent), command))
    return found


def whisper_servers(run: str) -> list[Process]:
    return [process for process in marked(run) if Path(process.command.split(" ")[0]).name == "whisper-server"]
