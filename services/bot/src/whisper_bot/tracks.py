"""Whether a video is without sound, by its own table of tracks. Plain reading of sizes and names: nothing is decoded.

Only certainty counts: whatever cannot be told here is for the service's caged decoder to judge.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PICTURES, MUTE, UNKNOWN = "pictures", "mute", "unknown"
"""Kinds of tracks; sound is among the unknown."""

MAX_ELEMENTS = 4096
"""A file of nothing but empty boxes would be walked through for minutes."""

MP4_PARENTS = frozenset((b"moov", b"trak", b"mdia"))
MP4_KINDS = {b"vide": PICTURES} | dict.fromkeys((b"hint", b"meta", b"sbtl", b"subt", b"text", b"tmcd"), MUTE)
HANDLER_OFFSET = 8
"""Of a track's kind in its `hdlr` box: after version, flags and a field of QuickTime's."""

MATROSKA_HEAD = b"\x1a\x45\xdf\xa3"
SEGMENT, TRACKS, TRACK, TRACK_TYPE, CLUSTER = 0x18538067, 0x1654AE6B, 0xAE, 0x83, 0x1F43B675
MATROSKA_PARENTS = frozenset((SEGMENT, TRACKS, TRACK))
MATROSKA_KINDS = {1: PICTURES, 0x11: MUTE, 0x12: MUTE, 0x20: MUTE, 0x21: MUTE}


class _Unreadable(Exception):
    pass


def is_silent_video(path: Path) -> bool:
    """Of MP4, MOV, MKV and WebM; False for everything else, and for what is damaged."""
    try:
        with path.open("rb") as file:
            is_matroska = file.read(4) == MATROSKA_HEAD
            kinds = set(_matroska_tracks(file) if is_matroska else _mp4_tracks(file))
    except (_Unreadable, OSError):  # the latter: a size beyond what the file system can seek to
        return False
    return PICTURES in kinds and UNKNOWN not in kinds


def _mp4_tracks(file: BinaryIO) -> Iterator[str]:
    """ISO/IEC 14496-12: boxes in boxes."""
    spans = [(0, os.fstat(file.fileno()).st_size)]
    for _ in range(MAX_ELEMENTS):
        if not spans:
            return
        start, end = spans.pop()
        if start == end:
            continue
        name, inside, after = _mp4_box(file, start, end)
        if name != b"moov":  # behind the table there is nothing to learn
            spans.append((after, end))
        if name in MP4_PARENTS:
            spans.append((inside, after))
        elif name == b"hdlr":
            yield MP4_KINDS.get(_read(file, inside + HANDLER_OFFSET, 4), UNKNOWN)
    raise _Unreadable


def _mp4_box(file: BinaryIO, start: int, limit: int) -> tuple[bytes, int, int]:
    """Its name, where its content begins, and where it ends."""
    head = _read(file, start, 8)
    size, inside = int.from_bytes(head[:4], "big"), start + 8
    if size == 1:
        size, inside = int.from_bytes(_read(file, inside, 8), "big"), inside + 8
    end = start + size if size else limit
    if not inside <= end <= limit:
        raise _Unreadable
    return head[4:], inside, end


def _matroska_tracks(file: BinaryIO) -> Iterator[str]:
    """RFC 9559: the tracks stand before the first cluster of sound and pictures; without one, some may be missing."""
    position = 0
    for _ in range(MAX_ELEMENTS):
        name, after_name = _matroska_number(file, position, with_length=True)
        size, inside = _matroska_number(file, after_name)
        if name == CLUSTER:
            return
        if name == TRACK_TYPE:
            yield MATROSKA_KINDS.get(int.from_bytes(_read(file, inside, min(size, 8)), "big"), UNKNOWN)
        position = inside if name in MATROSKA_PARENTS else inside + size
    raise _Unreadable


def _matroska_number(file: BinaryIO, position: int, *, with_length: bool = False) -> tuple[int, int]:
    """The number, and the position behind it (RFC 8794, 4): the zero bits at its head tell how many bytes it has."""
    length = 9 - _read(file, position, 1)[0].bit_length()
    if length > 8:
        raise _Unreadable
    value = int.from_bytes(_read(file, position, length), "big")
    return value if with_length else value - (1 << 7 * length), position + length


def _read(file: BinaryIO, position: int, size_bytes: int) -> bytes:
    file.seek(position)
    data = file.read(size_bytes)
    if len(data) < size_bytes:
        raise _Unreadable
    return data
