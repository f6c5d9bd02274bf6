"""`whisperfleet up` as a person starts it, and its processes as the kernel sees them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from whisper_dispatcher.worker import stub_server
from whisper_models.bundled import sample_path

START_S = 90.0
DRAIN_S = 60.0
PROGRAM = (sys.executable, "-c", "from whisper_dispatcher.cli import app; app()")


class Up:
    """One `whisperfleet up` with a state folder and a folder for temporary files of its own."""

    def __init__(
        self, folder: Path, whisper_server: Path, *options: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.ready_file = folder / "ready.json"
        self.temporary, self.state = folder / "tmp", folder / "state"
        self.temporary.mkdir(exist_ok=True)
        self._output = folder / "up.log"
        own = {
            "TMPDIR": str(self.temporary),
            "XDG_STATE_HOME": str(self.state),
            "WHISPER_SERVER": str(whisper_server),
        }
        self._environment = os.environ | own | dict(environment or {})
        arguments = [*PROGRAM, "up", "--port", "0", "--ready-file", str(self.ready_file), *options]
        with self._output.open("w") as output:
            self.process = subprocess.Popen(arguments, env=self._environment, stdout=output, stderr=subprocess.STDOUT)

    @property
    def output(self) -> str:
        return self._output.read_text()

    def wait_ready(self) -> dict[str, str]:
        until(lambda: self.ready_file.exists() or self.process.poll() is not None, START_S)
        assert self.process.poll() is None, self.output
        ready: dict[str, str] = json.loads(self.ready_file.read_text())
        return ready

    def client(self) -> httpx.Client:
        ready = self.wait_ready()
        return httpx.Client(base_url=ready["url"], headers={"X-API-Key": ready["key"]}, timeout=60)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`whisperfleet` with these arguments, as somebody else on this machine runs it."""
        return subprocess.run(
            [*PROGRAM, *arguments], env=self._environment, capture_output=True, text=True, timeout=DRAIN_S, check=True
        )

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(DRAIN_S)

    @property
    def noted(self) -> dict[str, str]:
        """What the other commands find it by."""
        noted: dict[str, str] = json.loads((self.state / "whisperfleet" / "running.json").read_text())
        return noted

    def part(self, module: str) -> int:
        """The process of one part, such as `whisper_dispatcher.planner`."""
        return next(
            pid for pid, command in descendants(self.process.pid).items() if command.rstrip().endswith(f"-m {module}")
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def started(
    folder: Path, whisper_server: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[Up]:
    """Ready inside, gone outside."""
    up = Up(folder, whisper_server, *options, environment=environment)
    try:
        up.wait_ready()
        yield up
        up.stop()
    finally:
        up.kill()


@contextmanager
def started_with_stub(folder: Path, *options: str, **settings: str) -> Iterator[Up]:
    """With the stand-in for whisper-server, which hears `hello world one two three` in everything.

    settings: environment variables, such as STUB_DELAY_MS of the stand-in.
    """
    stub = stub_server.write_program(folder)
    # Trying it out leaves a note in the cache.
    environment = {"XDG_CACHE_HOME": str(folder / "cache")} | settings
    with started(folder, stub, *options, environment=environment) as up:
        yield up


def until(is_so: Callable[[], bool], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be in time"
        time.sleep(0.02)


def processes() -> dict[int, tuple[int, str]]:
    """Parent and command line of every living process."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if state != "Z":
            found[int(folder.name)] = (int(parent), command)
    return found


def descendants(ancestor: int) -> dict[int, str]:
    every = processes()
    found: dict[int, str] = {}
    wanted = {ancestor}
    while new := {pid for pid, (parent, _) in every.items() if parent in wanted and pid not in found}:
        found |= {pid: every[pid][1] for pid in new}
        wanted = new
    return found


def left_of(earlier: dict[int, str]) -> dict[int, str]:
    now = processes()
    return {pid: command for pid, command in earlier.items() if pid in now and now[pid][1] == command}


def spoken(sample: str) -> str:
    """What is said in one of the bundled recordings."""
    with sample_path("samples.tsv").open() as file:
        return next(row["text"] for row in csv.DictReader(file, delimiter="\t") if row["file"] == sample)


def transcribe(client: httpx.Client, sample: str) -> str:
    answer = client.post("/transcribe", files={"file": (sample, sample_path(sample).read_bytes())})
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["transcription"]
    return text.strip()
