"""The uploads: real recordings, each made a file of its own without a change to its sound."""

from __future__ import annotations

import csv
import struct
from dataclasses import dataclass
from pathlib import PurePath

from whisper_models.bundled import sample_path

NOTES = (
    "hello.wav",
    "voice-note.ogg",
    "message.mp3",
    "stereo.wav",
    "note.m4a",
    "note.flac",
    "note.webm",
    "video.mp4",
)
LONG = "minutes.mp3"
LONG_EVERY = 40
PART = "part-of-minutes.mp3"
PART_SHARE = 1 / 3


@dataclass(frozen=True, slots=True)
class Recording:
    name: str
    data: bytes
    spoken: str


def load() -> dict[str, Recording]:
    """By name. Raises NotBundled outside a checkout."""
    with sample_path("samples.tsv").open(newline="") as file:
        spoken = {row["file"]: row["text"] for row in csv.DictReader(file, delimiter="\t")}
    recordings = [Recording(name, sample_path(name).read_bytes(), spoken[name]) for name in (*NOTES, LONG)]
    long = recordings[-1]
    words = long.spoken.split()
    part = Recording(
        PART, long.data[: int(len(long.data) * PART_SHARE)], " ".join(words[: int(len(words) * PART_SHARE)])
    )
    return {recording.name: recording for recording in (*recordings, part)}


def name_of(number: int) -> str:
    """Which recording the upload with this number is: mostly notes, now and then one of several windows."""
    if number % LONG_EVERY == LONG_EVERY // 2:
        return LONG if number // LONG_EVERY % 2 == 0 else PART
    return NOTES[number % len(NOTES)]


def numbered(recording: Recording, number: int) -> bytes:
    """The same sound in another file: a note that its container lets players skip."""
    data, note = recording.data, f"upload {number:08}".encode()
    match PurePath(recording.name).suffix:
        case ".wav":
            chunk = b"note" + struct.pack("<I", len(note) + len(note) % 2) + note + b"\0" * (len(note) % 2)
            return data[:4] + struct.pack("<I", len(data) - 8 + len(chunk)) + data[8:] + chunk
        case ".m4a" | ".mp4":
            return data + struct.pack(">I", 8 + len(note)) + b"free" + note
        case ".webm":
            return data + b"\xec" + bytes([0x80 | len(note)]) + note
        case _:
            return data + b"TAG" + note.ljust(125, b"\0")
