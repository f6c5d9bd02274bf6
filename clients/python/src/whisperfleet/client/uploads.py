"""A file and its options as a multipart form, made piece by piece: no upload is held in memory."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, TypedDict

Audio = str | os.PathLike[str] | bytes | BinaryIO
"""A path, the bytes themselves, or a file opened in binary mode."""

CHUNK_BYTES = 256 * 1024


class Options(TypedDict, total=False):
    """What can be asked for, beside the audio. What is left out is the gateway's default."""

    model: str
    language: str
    """ISO-639-1, such as `en`."""
    prompt: str
    """Names and words that are likely to occur."""
    temperature: float
    words: bool
    """Times of single words."""
    mode: Literal["parallel", "sequential"]
    callback_url: str


def form_fields(options: Mapping[str, object]) -> dict[str, str]:
    """Raises TypeError for an option that there is not."""
    if unknown := options.keys() - Options.__annotations__.keys():
        known = ", ".join(Options.__annotations__)
        raise TypeError(f"There is no option {', '.join(sorted(unknown))}; the options are {known}.")
    fields = {name: str(value) for name, value in options.items() if name != "words" and value is not None}
    return fields | ({"timestamp_granularities[]": "word"} if options.get("words") else {})


@dataclass(frozen=True, slots=True)
class Upload:
    audio: Audio
    fields: Mapping[str, str]
    filename: str
    on_sent: Callable[[int], None] | None = None
    """Told the number of bytes of each piece of the file."""
    start: int | None = None
    """Where an opened file stood; None = it cannot be read twice, or is no opened file."""
    boundary: str = field(default_factory=lambda: secrets.token_hex(16))

    @classmethod
    def of(cls, audio: Audio, fields: Mapping[str, str], on_sent: Callable[[int], None] | None = None) -> Upload:
        start = None
        if isinstance(audio, (str, os.PathLike)):
            name: object = os.fspath(audio)
        elif isinstance(audio, bytes):
            name = "audio"
        else:
            name = getattr(audio, "name", "audio")
            start = audio.tell() if audio.seekable() else None
        filename = Path(name).name if isinstance(name, str) else "audio"
        return cls(audio, fields, filename, on_sent, start)

    @property
    def is_repeatable(self) -> bool:
        return isinstance(self.audio, (str, os.PathLike, bytes)) or self.start is not None

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self.boundary}"

    def length_bytes(self) -> int | None:
        """Of the whole form. None when the file's size cannot be known."""
        with self._opened() as file:
            if not file.seekable():
                return None
            start = file.tell()
            size_bytes = file.seek(0, os.SEEK_END) - start
            file.seek(start)
        return len(self._head()) + size_bytes + len(self._end())

    def chunks(self) -> Iterator[bytes]:
        """Blocks while it reads the file. Each call starts anew."""
        yield self._head()
        with self._opened() as file:
            while data := file.read(CHUNK_BYTES):
                yield data
                if self.on_sent:
                    self.on_sent(len(data))
        yield self._end()

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        if isinstance(self.audio, bytes):
            yield io.BytesIO(self.audio)
        elif isinstance(self.audio, (str, os.PathLike)):
            with open(self.audio, "rb") as file:
                yield file
        else:
            if self.start is not None:
                self.audio.seek(self.start)
            yield self.audio

    def _head(self) -> bytes:
        parts = [
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in self.fields.items()
        ]
        file = f'--{self.boundary}\r\nContent-Disposition: form-data; name="file"; filename="{_quoted(self.filename)}"'
        head = "".join(parts) + file + "\r\nContent-Type: application/octet-stream\r\n\r\n"
        # The name of a file may hold bytes that are no UTF-8.
        return head.encode("utf-8", "replace")

    def _end(self) -> bytes:
        return f"\r\n--{self.boundary}--\r\n".encode()


def _quoted(filename: str) -> str:
    """As browsers write it (https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data)."""
    return filename.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
