"""A whole `whisperfleet up --bot` with its own fake Telegram, as the bot's tests and its chaos run need it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
from fake_chats import Shown
from fake_telegram import FakeTelegram

TOKEN = "4242:AAF-secret_of_the_bot"
START_S = 110.0
DRAIN_S = 60.0
PROGRAM = (sys.executable, "-c", "from whisper_dispatcher.cli import app; app()")


def until(is_so: Callable[[], object], limit_s: float, what: str = "it") -> None:
    deadline = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline, f"{what} did not come to be in {limit_s:g} s"
        time.sleep(0.02)


def children(pid: int) -> dict[str, int]:
    """The processes of an `up`, by a word of their command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            for word in ("whisper_bot", "whisper_dispatcher.gateway", "nats-server", "whisper_dispatcher.planner"):
                if word in command:
                    found[word.rpartition(".")[2]] = int(folder.name)
    return found


class Fleet:
    def __init__(
        self,
        folder: Path,
        telegram: FakeTelegram,
        whisper_server: Path,
        environment: Mapping[str, str] | None = None,
        *,
        with_bot: bool = True,
        model: str = "demo.en",
    ) -> None:
        self.telegram = telegram
        self._model = model
        self._with_bot = with_bot
        self.data = folder / "data"
        self._ready_file = folder / "ready.json"
        self._output = folder / "up.log"
        self._state = folder / "state"
        self._environment = os.environ | {
            "XDG_STATE_HOME": str(self._state),
            "WHISPER_SERVER": str(whisper_server),
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "WHISPERFLEET_TELEGRAM_API_URL": telegram.url,
            **(environment or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._ready_file.unlink(missing_ok=True)
        arguments = [*PROGRAM, "up", "--port", "0", "--data", str(self.data), "--model", self._model]
        arguments += ["--bot"] if self._with_bot else []
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                [*arguments, "--ready-file", str(self._ready_file)],
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        until(lambda: self._ready_file.exists() or self.process.poll() is not None, START_S, "the fleet")
        assert self.process.poll() is None, self._output.read_text()

    def stop(self) -> int:
        assert self.process
        self.process.terminate()
        return self.process.wait(DRAIN_S)

    def kill(self) -> None:
        if self.process and self.process.poll() is None:
            found = children(self.process.pid)
            self.process.kill()
            self.process.wait()
            until(lambda: not any(is_alive(pid) for pid in found.values()), 10, "the end of the children")

    def kill_child(self, word: str, with_signal: int = signal.SIGKILL) -> None:
        """One that is killed is started again by `up`."""
        assert self.process
        os.kill(children(self.process.pid)[word], with_signal)

    def ready(self) -> dict[str, str]:
        found: dict[str, str] = json.loads(self._ready_file.read_text())
        return found

    def running(self) -> dict[str, str]:
        """How an administrator reaches its NATS."""
        found: dict[str, str] = json.loads((self._state / "whisperfleet" / "running.json").read_text())
        return found

    def api(self) -> httpx.Client:
        ready = self.ready()
        return httpx.Client(base_url=ready["url"], headers={"X-API-Key": ready["key"]}, timeout=30)

    def log(self, process: str = "bot") -> str:
        path = self.data / "logs" / f"{process}.log"
        return path.read_text() if path.exists() else ""

    def everything_written(self) -> bytes:
        """All that lies in the data folder: logs, the queue's own store, settings."""
        found = bytearray()
        for path in self.data.rglob("*"):
            with suppress(FileNotFoundError, IsADirectoryError):  # the queue runs, and removes what is done
                found += path.read_bytes()
        return bytes(found)

    def answer_to(self, chat: int, message_id: int, limit_s: float = 60.0) -> Shown:
        """The reply to a message once it is more than word of the work on it."""
        until(lambda: self.final_replies(chat, message_id), limit_s, f"an answer to {chat}/{message_id}")
        (shown,) = self.final_replies(chat, message_id)
        return shown

    def final_replies(self, chat: int, message_id: int) -> list[Shown]:
        return [shown for shown in self.telegram.replies_to(chat, message_id) if not is_status(shown)]


@contextmanager
def started_fleet(
    folder: Path, whisper_server: Path, environment: Mapping[str, str] | None = None, **options: Any
) -> Iterator[Fleet]:
    """Ready inside, gone outside, with Telegram's stand-in."""
    telegram = FakeTelegram(TOKEN)
    telegram.start_in_thread()
    fleet = Fleet(folder, telegram, whisper_server, environment, **options)
    try:
        fleet.start()
        yield fleet
    finally:
        fleet.kill()
        telegram.stop_in_thread()


class Bots:
    """Bot processes for a fleet that has none of its own, one at a time."""

    def __init__(self, fleet: Fleet) -> None:
        running = fleet.running()
        self.pid = 0
        environment = {
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "WHISPERFLEET_TELEGRAM_API_URL": fleet.telegram.url,
            "WHISPERFLEET_URL": running["url"],
            "WHISPERFLEET_API_KEY": running["key"],
            "WHISPERFLEET_NATS_URL": running["nats_url"],
            "WHISPERFLEET_NATS_USER": "admin",
            "WHISPERFLEET_NATS_PASSWORD": running["nats_password"],
        }
        zygote = Path(__file__).with_name("bot_zygote.py")
        self._zygote = subprocess.Popen(
            [sys.executable, str(zygote)],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def start(self, log: Path, **environment: str) -> None:
        assert self._zygote.stdin and self._zygote.stdout
        self._zygote.stdin.write(json.dumps({"log": str(log)} | environment) + "\n")
        self.pid = int(self._zygote.stdout.readline())

    def end(self, with_signal: int) -> None:
        """Returns when the process is gone."""
        os.kill(self.pid, with_signal)
        until(lambda: not is_alive(self.pid), 30, "the end of the bot")

    def end_any(self) -> None:
        if self.pid and is_alive(self.pid):
            self.end(signal.SIGKILL)

    def close(self) -> None:
        self.end_any()
        self._zygote.communicate()


def is_status(shown: Shown) -> bool:
    return shown.document is None and shown.text.endswith("…") and not shown.entities


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
