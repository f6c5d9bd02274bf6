"""The folder that holds one machine's queue: its store, its secrets, its logs."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from whisper_dispatcher.jetstream.permissions import ROLES, Role
from whisper_dispatcher.jetstream.topology import Limits
from whisper_dispatcher.jobs.clients import new_key
from whisper_dispatcher.local.nats_server import limits_for_disk


class FolderInUse(Exception):
    pass


class FolderUnusable(Exception):
    pass


@dataclass(frozen=True, slots=True)
class DataFolder:
    path: Path

    @property
    def store(self) -> Path:
        return self.path / "jetstream"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def work(self) -> Path:
        return self.path / "work"

    @property
    def nats_config(self) -> Path:
        return self.path / "nats.conf"

    @property
    def queue_file(self) -> Path:
        return self.path / "queue.json"


@dataclass(frozen=True, slots=True)
class Queue:
    """Made once for each folder: a store whose limits shrink under what it holds would not open again."""

    passwords: dict[Role, str]
    api_key: str
    limits: Limits
    bot_key: str = field(default_factory=new_key)
    """The Telegram bot's own API key."""


@contextmanager
def open_folder(chosen: Path | None) -> Iterator[DataFolder]:
    """The chosen folder, kept; or a temporary one that is gone afterwards. Raises FolderInUse or FolderUnusable."""
    path = chosen.expanduser().resolve() if chosen else Path(tempfile.mkdtemp(prefix="whisperfleet-"))
    try:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FolderUnusable(f"{path} cannot be made: {error.strerror}. Choose another folder.") from error
        with _only_one(path):
            folder = DataFolder(path)
            for part in (folder.store, folder.logs, folder.work):
                part.mkdir(exist_ok=True, mode=0o700)
            yield folder
    finally:
        if chosen is None:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    try:
        lock = (path / "lock").open("w")
    except OSError as error:
        raise FolderUnusable(f"{path} cannot be written: {error.strerror}. Choose another folder.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(
                f"Another `whisperfleet up` works in {path}. Stop it, or choose another folder."
            ) from None
        yield


def load_queue(folder: DataFolder) -> Queue:
    """What the folder was made with; made now if it is new. Raises FolderUnusable or DiskTooFull."""
    if not folder.queue_file.exists():
        limits = limits_for_disk(shutil.disk_usage(folder.path).free)
        return _saved(folder, Queue({role: secrets.token_urlsafe(24) for role in ROLES}, new_key(), limits))
    try:
        stored = json.loads(folder.queue_file.read_text())
        # A folder made before there was a bot gets what the bot needs.
        passwords = {"bot": secrets.token_urlsafe(24)} | stored["passwords"]
        bot_key = stored.get("bot_key") or new_key()
        queue = Queue({role: passwords[role] for role in ROLES}, stored["api_key"], Limits(**stored["limits"]), bot_key)
        return queue if asdict(queue) == stored else _saved(folder, queue)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise FolderUnusable(
            f"{folder.queue_file} cannot be read ({error}). It was made by another version or damaged: "
            f"put it back, or start with an empty folder."
        ) from error


def _saved(folder: DataFolder, queue: Queue) -> Queue:
    write_private(folder.queue_file, json.dumps(asdict(queue), indent=2) + "\n")
    return queue


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, readable by its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600 from the start
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
