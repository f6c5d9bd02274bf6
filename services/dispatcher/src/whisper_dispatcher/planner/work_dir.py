"""The disk that recordings lie on while their jobs are planned: a folder each, and together no more than it may hold."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from whisper_contracts.pcm import BYTES_PER_SECOND

log = structlog.get_logger()

FOLDER_PREFIX = "whisper-planner-"
LONGS_SHARE = 0.75
"""Of the bytes; notes take the rest, and wait for no long recording."""
DECODED_PER_UPLOADED = 20
"""As speech at 13 kbit/s. Codecs that need less are rare, and what they are beyond it the notes' share has room for."""


def expected_bytes(upload_bytes: int, max_audio_s: float) -> int:
    """Of an upload and what it is decoded to, before anybody knows how long it is."""
    longest = int(max_audio_s * BYTES_PER_SECOND)
    return upload_bytes + min(upload_bytes * DECODED_PER_UPLOADED, longest)


class WorkDir:
    def __init__(self, path: Path, max_bytes: int | None = None) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._longs: dict[Path, int] = {}
        """Bytes by folder: expected first, then measured."""

    @contextmanager
    def folder(self, expected_bytes: int = 0) -> Iterator[Path]:
        """expected_bytes: of a long recording. Raises OSError, as a full disk does, while the others leave too little."""
        if expected_bytes and not self._has_room(expected_bytes):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX, dir=self.path) as name, _locked(Path(name)):
            folder = Path(name)
            if expected_bytes:
                self._longs[folder] = expected_bytes
            try:
                yield folder
            finally:
                self._longs.pop(folder, None)

    def measure(self, folder: Path) -> None:
        """Once nothing more is written into it."""
        if folder in self._longs:
            self._longs[folder] = sum(file.stat().st_size for file in folder.iterdir())

    def _has_room(self, expected_bytes: int) -> bool:
        """One alone may take what it needs, or the largest would wait for ever."""
        if self._max_bytes is None or not self._longs:
            return True
        return sum(self._longs.values()) + expected_bytes <= LONGS_SHARE * self._max_bytes

    def drop_left(self) -> None:
        """Folders of planners that were killed: those in use are locked, and a lock ends with its process."""
        for folder in self.path.glob(f"{FOLDER_PREFIX}*"):
            with suppress(OSError), _locked(folder):
                shutil.rmtree(folder)
                log.info("audio that a killed planner left dropped", folder=folder.name)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Raises OSError when somebody has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
