"""A download in progress: the bytes so far beside the target, and which version of the file they belong to."""

from __future__ import annotations

import os
from pathlib import Path

from whisper_models.ggml import PART_SUFFIX


class PartFile:
    def __init__(self, target: Path) -> None:
        self._target = target
        self.path = target.with_name(target.name + PART_SUFFIX)
        self._etag_path = target.with_name(target.name + PART_SUFFIX + ".etag")

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def etag(self) -> str | None:
        return self._etag_path.read_text("utf-8") if self._etag_path.exists() else None

    def restart(self, etag: str | None) -> None:
        self.discard()
        # The version goes first: bytes without one could be continued with another version's.
        if etag:
            self._etag_path.write_text(etag, "utf-8")
        self.path.touch()

    def append(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._etag_path.unlink(missing_ok=True)

    def starts_with(self, magic: bytes) -> bool:
        with self.path.open("rb") as file:
            return file.read(len(magic)) == magic

    def finish(self) -> None:
        """Gives the file its final name, after its bytes are on disk."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.replace(self._target)
        self._etag_path.unlink(missing_ok=True)
